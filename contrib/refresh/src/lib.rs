//! The refresher as a library: reading what upstreams publish, apart from fetching it.
//!
//! Everything here is a function of bytes (and, for signatures, of a time that is handed in): no
//! network, no clock, no environment. What is read is written by others, so every reader has a
//! limit, refuses by default, and gives back types, not strings that are still to be judged.

pub mod alpine;
mod cleartext;
mod hex;
pub mod keys;
pub mod listing;
pub mod signature;
pub mod sums;
