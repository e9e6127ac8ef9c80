//! The one place where this process's failures become Kafka's error codes.
