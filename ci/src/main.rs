//! The gate: every check that lands or refuses a change, in one program.

fn main() {}
