//! plantail's entry.

fn main() {}
