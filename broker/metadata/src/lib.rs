//! The metadata log's records to a cluster image, and admin requests to records. No I/O.
