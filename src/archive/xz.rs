//! xz: the format of Igor Pavlov's and Lasse Collin's "The .xz File Format" 1.2.
//!
//! liblzma is asked for one stream at a time. Its own handling of concatenated streams is a flag
//! that the multi-threaded decoder of the binding cannot be given.

use std::io::{self, BufRead, Read};

use xz2::stream::{
    Action, Check, Error as LzmaError, IGNORE_CHECK, MtStreamBuilder, Status, Stream,
    TELL_UNSUPPORTED_CHECK,
};

use super::codec::{step, trailing};
use super::decode::{Checks, Format};
use super::input::{Input, io_error};
use crate::error::{Error, Kind, Result};

/// A decoder of xz streams.
pub(super) struct Xz<R> {
    input: Input<R>,
    memory: u64,
    checks: Checks,
    /// `None` between two streams.
    stream: Option<Stream>,
}

impl<R: Read> Xz<R> {
    pub(super) fn new(mut input: Input<R>, memory: u64, checks: Checks) -> io::Result<Self> {
        let stream = open(&mut input, memory, checks)?;
        Ok(Self {
            input,
            memory,
            checks,
            stream: Some(stream),
        })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(stream) = &mut self.stream else {
                if !self.next_stream()? {
                    return Ok(0);
                }
                continue;
            };
            let input = self.input.fill_buf()?;
            let ended = input.is_empty();
            let action = if ended { Action::Finish } else { Action::Run };
            let before = (stream.total_in(), stream.total_out());
            let status = stream.process(input, out, action);
            let read = step(before.0, stream.total_in());
            let written = step(before.1, stream.total_out());
            self.input.consume(read);
            let status = status.map_err(|error| explain(error, self.memory))?;
            if status == Status::StreamEnd {
                self.stream = None;
            }
            if written > 0 {
                return Ok(written);
            }
            // The first call without progress is forgiven: the threads may still be at work.
            if ended && status == Status::MemNeeded {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Steps over stream padding (section 2.2) to the next stream, if there is one.
    fn next_stream(&mut self) -> io::Result<bool> {
        loop {
            match self.input.peek(4)? {
                [] => return Ok(false),
                [0, 0, 0, 0] => self.input.skip(4),
                _ => break,
            }
        }
        if Format::of_magic(self.input.peek(6)?) != Some(Format::Xz) {
            return Err(trailing(Format::Xz));
        }
        self.stream = Some(open(&mut self.input, self.memory, self.checks)?);
        Ok(true)
    }
}

/// A decoder for the stream that comes next: on several threads if its blocks say how long they
/// are, which is what `xz -T` writes and what liblzma needs.
fn open<R: Read>(input: &mut Input<R>, memory: u64, checks: Checks) -> io::Result<Stream> {
    let start = input.peek(BLOCK_FLAGS + 1)?;
    // The multi-threaded decoder cannot be told to refuse checks that it does not know: CRC32,
    // CRC64, SHA-256, or none (section 2.1.1.2).
    if let Some(check) = start.get(STREAM_CHECK)
        && !matches!(check & 0x0f, 0 | 1 | 4 | 10)
    {
        let message = format!("the xz stream has a check of unknown kind {}", check & 0x0f);
        return Err(io_error(Error::new(Kind::Format, message)));
    }
    let sizes = start
        .get(BLOCK_FLAGS)
        .is_some_and(|flags| flags & HAS_SIZES == HAS_SIZES);
    let threads = crate::sys::processors().get();
    let stream = if sizes && threads > 1 {
        MtStreamBuilder::new()
            .threads(u32::try_from(threads.min(THREADS)).unwrap_or(1))
            .memlimit_threading(memory.min(THREADED_MEMORY))
            .memlimit_stop(memory)
            .decoder()
    } else {
        let ignore = match checks {
            Checks::Verify => 0,
            Checks::Ignore => IGNORE_CHECK,
        };
        Stream::new_stream_decoder(memory, TELL_UNSUPPORTED_CHECK | ignore)
    };
    stream.map_err(|error| explain(error, memory))
}

/// Compresses a few bytes: one block with a CRC64, by one thread. The outcome depends on nothing
/// but the bytes.
///
/// # Errors
/// [`Kind::Other`] if liblzma has no memory.
pub fn pack_xz(bytes: &[u8]) -> Result<Vec<u8>> {
    let failed = |error| Error::new(Kind::Other, "cannot compress").with_source(error);
    let mut stream = Stream::new_easy_encoder(PRESET, Check::Crc64).map_err(failed)?;
    let mut packed = Vec::with_capacity(bytes.len() + 256);
    loop {
        let read = step(0, stream.total_in());
        let rest = bytes.get(read..).unwrap_or_default();
        packed.reserve(4096);
        let status = stream.process_vec(rest, &mut packed, Action::Finish);
        if status.map_err(failed)? == Status::StreamEnd {
            return Ok(packed);
        }
    }
}

/// What liblzma's codes mean to a user.
fn explain(error: LzmaError, memory: u64) -> io::Error {
    let message = match error {
        LzmaError::MemLimit => {
            format!("the xz stream needs more memory than the limit of {memory} bytes")
        }
        LzmaError::Mem => return io::ErrorKind::OutOfMemory.into(),
        LzmaError::Options => "the xz stream uses a filter or option that is not known".to_owned(),
        LzmaError::UnsupportedCheck => "the xz stream has a check of unknown kind".to_owned(),
        _ => return io::Error::new(io::ErrorKind::InvalidData, error),
    };
    io_error(Error::new(Kind::Format, message))
}

/// What `xz` does when it is told nothing.
const PRESET: u32 = 6;

/// Where the stream header keeps the kind of its check (section 2.1.1.2).
const STREAM_CHECK: usize = 7;

/// Where the first block header keeps its flags (section 3.1.2): after a stream header of 12
/// bytes and one byte of size.
const BLOCK_FLAGS: usize = 13;

/// Both sizes are in the block header.
const HAS_SIZES: u8 = 0xc0;

/// Memory for blocks that are decoded beside each other. Each takes about its compressed and
/// uncompressed size and a dictionary: 40 MiB at `xz -6`. With less, liblzma uses fewer threads.
const THREADED_MEMORY: u64 = 192 << 20;

/// More threads than this wait for the one that writes.
const THREADS: usize = 8;
