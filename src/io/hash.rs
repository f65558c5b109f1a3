//! The hash of whatever can be read, or is written.

use std::io::{ErrorKind, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::error::{Error, Result};

/// The SHA-256 of a source up to its end. `cannot` says what a failed read means; `tell` hears how
/// many bytes were read so far, and its error stops.
///
/// # Errors
/// Those of `cannot` and of `tell`.
pub fn hash(
    mut source: impl Read,
    cannot: impl Fn(std::io::Error) -> Error,
    mut tell: impl FnMut(u64) -> Result<()>,
) -> Result<Digest> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut read = 0;
    loop {
        let n = match source.read(&mut block) {
            Ok(0) => return Ok(Digest::from_bytes(hash.finalize().into())),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(cannot(error)),
        };
        hash.update(&block[..n]);
        read += n as u64;
        tell(read)?;
    }
}

/// Hashes what it passes on.
#[derive(Debug)]
pub struct HashWriter<W> {
    hash: Sha256,
    inner: W,
}

impl<W: Write> HashWriter<W> {
    /// Of nothing yet.
    pub fn new(inner: W) -> Self {
        Self {
            hash: Sha256::new(),
            inner,
        }
    }

    /// The SHA-256 of what was written.
    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.hash.finalize().into())
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes that are read between two looks at whether somebody wants us to stop.
const BLOCK: usize = 256 << 10;
