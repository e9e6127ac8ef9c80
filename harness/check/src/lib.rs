//! Obligations on a running cluster, seen over sockets only.
