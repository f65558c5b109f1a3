//! A build comes to its place.

/// How a build is imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Whether the build stays where it is.
    pub transfer: Transfer,
    /// Write and remove nothing: only tell.
    pub dry_run: bool,
}

/// What becomes of the files of a build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// They are moved.
    #[default]
    Move,
    /// They are copied.
    Copy,
}

/// What [`Publisher::import`](super::Publisher::import) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The version's folder, relative to the root.
    pub path: String,
    /// Whether every file was there before.
    pub already: bool,
}
