//! The refresher as a library: from what upstreams publish to pins, apart from fetching it.
//!
//! Everything but [`upstream`] is a function of documents, keys and a time that is handed in: no
//! network, no clock, no environment. What is read is written by others, so every reader has a
//! limit, refuses by default, and gives back types, not strings that are still to be judged.

pub mod alpine;
pub mod ask;
mod cleartext;
pub mod keys;
pub mod listing;
pub mod report;
pub mod rules;
pub mod run;
pub mod signature;
pub mod source;
pub mod summary;
pub mod sums;
pub mod upstream;
