//! `convert`, `ensure --as raw` and the room `disk`.
//!
//! Images are written by code, true ones and lies; qemu-img judges, real files and attacks are
//! read where they are, and the program is stopped in every way.

mod cached;
mod copies;
mod differential;
mod ends;
mod features;
mod kit;
mod matrix;
mod names;
mod packed;
mod partitions;
mod refusals;
