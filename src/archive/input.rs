//! Buffered input that can be looked at, and errors on their way through `std::io`.

use std::io::{self, BufRead, Read};

use crate::error::{Error, Kind};

/// A buffer before a reader. Unlike `BufReader` it can be asked for a number of bytes to look at.
pub(super) struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read> Input<R> {
    /// `capacity` bounds what can be looked at.
    pub(super) fn new(inner: R, capacity: usize) -> Self {
        Self {
            inner,
            buffer: vec![0; capacity].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// The next `wanted` bytes, which stay where they are; fewer only at the end of the stream.
    pub(super) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.end - self.start < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < wanted {
                let n = read_some(&mut self.inner, &mut self.buffer[self.end..])?;
                if n == 0 {
                    break;
                }
                self.end += n;
            }
        }
        let shown = wanted.min(self.end - self.start);
        Ok(&self.buffer[self.start..self.start + shown])
    }

    /// What is in the buffer, if there is anything; the next bytes of the stream otherwise.
    pub(super) fn block(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = read_some(&mut self.inner, &mut self.buffer)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Steps over bytes that were seen.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.start = self.end.min(self.start + bytes);
    }

    /// Steps over bytes that were seen, and shows them for the last time.
    pub(super) fn pass(&mut self, bytes: usize) -> &[u8] {
        let start = self.start;
        self.skip(bytes);
        &self.buffer[start..self.start]
    }

    /// The reader behind the buffer, whose bytes are lost.
    pub(super) fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && out.len() >= self.buffer.len() {
            return read_some(&mut self.inner, out);
        }
        let block = self.block()?;
        let n = block.len().min(out.len());
        out[..n].copy_from_slice(&block[..n]);
        self.skip(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.block()
    }

    fn consume(&mut self, bytes: usize) {
        self.skip(bytes);
    }
}

/// The error of this crate that travels in an `io::Error`, or a [`Kind::Local`] one around it.
///
/// Decoders are readers, so what they have to say passes through `std::io`: this takes it out
/// again.
pub fn error_of(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(other) => Error::new(Kind::Local, "cannot read the archive").with_source(other),
    }
}

/// An error of this crate on its way through `std::io`.
pub(super) fn io_error(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// One read. A failure is marked as the source's: decoders report theirs with the same kinds.
fn read_some(reader: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error(error_of(error))),
            done => return done,
        }
    }
}
