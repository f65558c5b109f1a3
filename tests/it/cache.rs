//! The cache as a library: what is believed, what is shared, what may go.

mod clock;
#[cfg(feature = "cli")]
pub(crate) mod commands;
pub(crate) mod kit;
mod prune;
mod sharing;
mod trust;
