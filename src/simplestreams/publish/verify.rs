//! Does the index tell the truth?

use super::Problem;

/// What [`Publisher::verify`](super::Publisher::verify) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files that were read.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is not as the index says, sorted by path.
    pub problems: Vec<Problem>,
}
