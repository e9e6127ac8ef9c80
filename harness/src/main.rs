//! The command line of Jackdaw.

fn main() {}
