//! File-system images: judged by the tools of those who define the formats.

mod ext4;
mod ext4_geometry;
pub(crate) mod kit;
