//! File-system images: judged by the tools of those who define the formats.

mod additions;
#[cfg(feature = "cli")]
mod command;
mod erofs;
mod ext4;
mod ext4_geometry;
mod ext4_hostile;
mod ext4_mount;
#[cfg(feature = "fetch")]
mod ext4_real;
mod ext4_scale;
mod grove;
mod judge;
pub(crate) mod kit;
#[cfg(feature = "cli")]
mod shelf;
