//! Seeded simulation of whole clusters over simulated time, network and disk.
