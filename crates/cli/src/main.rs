//! The binary `cuiban`.

fn main() {}
