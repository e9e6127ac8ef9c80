//! One partition's replication state: leader and follower, LEO, high watermark, ISR, fencing. No I/O.
