//! The program: see `cipherlane --help`.

fn main() {}
