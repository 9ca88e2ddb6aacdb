//! The program that runs inside a node.

fn main() {}
