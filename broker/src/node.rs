//! One node: the order in which its parts start and stop.

pub mod dirs;
