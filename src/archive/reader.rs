//! The tar reader.

/// Reads the entries of a tar.
#[derive(Debug)]
pub struct Reader;
