//! Kafka's partition log on disk. It reaches the disk through one small trait and knows no network.
