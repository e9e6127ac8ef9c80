//! The active controller's brain: requests in, records and replies out.

pub mod index;
pub mod sessions;
