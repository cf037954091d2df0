//! The words of plantail as plain values: what the stages hand to each other.
//!
//! Nothing here reads, waits, stores or serialises: no I/O, no async, no diesel, juniper or serde derives. A stage
//! that needs a wire or table form of a value makes its own type and converts.

pub mod accounting;
pub mod breach;
pub mod digest;
pub mod execution;
pub mod finding;
pub mod incident;
pub mod plan;
pub mod position;
pub mod public_id;
pub mod query;
pub mod recommendation;
pub mod record;
pub mod sampling;
pub mod visible;

/// The first 64 bits of identity for everything whose id the daemon computes itself (XXH3-64, as a signed integer because that is what the
/// stores hold). `parts` are separated by a byte that cannot occur in PostgreSQL text, so that `("a", "bc")` and `("ab", "c")` differ.
pub fn stable_id(parts: &[&[u8]]) -> i64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for part in parts {
        hasher.update(part);
        hasher.update(&[0]);
    }
    hasher.digest().cast_signed()
}
