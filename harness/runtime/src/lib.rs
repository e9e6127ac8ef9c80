//! The same plan on a Docker engine or as processes on loopback.
