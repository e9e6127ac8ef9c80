//! Kafka on the wire: frames, request headers, record batches, and the records that Kafka keeps in its own logs.
