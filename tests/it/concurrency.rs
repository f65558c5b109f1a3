//! Many at once, over one cache.

mod herd;
mod pruning;
mod waiting;
