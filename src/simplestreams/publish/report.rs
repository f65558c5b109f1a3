//! What came of a run.

/// Something that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is about, relative to the root: a version, a file, a folder. Bytes that are not
    /// UTF-8 are escaped.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a run of [`Publisher::publish`](super::Publisher::publish) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Products in the index.
    pub products: usize,
    /// Their versions in the index.
    pub versions: usize,
    /// Files that were read and hashed.
    pub hashed: usize,
    /// Files whose hashes were known.
    pub reused: usize,
    /// Versions that were removed by retention, relative to the root, sorted.
    pub removed: Vec<String>,
    /// What was left out, sorted by path.
    pub problems: Vec<Problem>,
    /// What is published, and yet looks wrong, sorted by path.
    pub warnings: Vec<Problem>,
    /// Whether the index is another one now; for a dry run, whether it would be.
    pub changed: bool,
}
