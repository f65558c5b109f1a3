//! A folder of images becomes a simplestreams server.

mod hostile;
mod imports;
mod index;
mod kit;
mod problems;
mod retention;
mod reuse;
mod truth;

#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "cli")]
mod crowd;
#[cfg(feature = "cli")]
pub(crate) mod incus;
#[cfg(feature = "cli")]
mod judges;
