//! The `alived` program.

fn main() {}
