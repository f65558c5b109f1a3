//! The writer of trees and their digest: entries by hand, no archive and no network.

mod attacks;
mod child;
mod digest;
mod faithful;
mod ground;
mod limits;
mod names;
mod race;
mod rootless;
mod target;
