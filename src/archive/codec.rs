//! The formats, one after another: each a state machine over its members.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use zstd::stream::raw::{DParameter, Operation};

use super::decode::{Checks, Format};
use super::entry::Limits;
use super::input::{Input, io_error};
use super::xz::Xz;
use crate::error::{Error, Kind};

/// A decoder of any format.
pub(super) enum Codec<R> {
    Plain(Input<R>),
    Gzip(Box<Gzip<R>>),
    Xz(Box<Xz<R>>),
    Zstd(Box<Zstd<R>>),
    Bzip2(Box<Bzip2<R>>),
}

impl<R: Read> Codec<R> {
    pub(super) fn new(
        input: Input<R>,
        format: Format,
        limits: &Limits,
        checks: Checks,
    ) -> io::Result<Self> {
        Ok(match format {
            Format::Plain => Self::Plain(input),
            Format::Gzip => Self::Gzip(Box::new(Gzip::new(input))),
            Format::Xz => Self::Xz(Box::new(Xz::new(input, limits.xz_memory, checks)?)),
            Format::Zstd => Self::Zstd(Box::new(Zstd::new(input, limits.zstd_window)?)),
            Format::Bzip2 => Self::Bzip2(Box::new(Bzip2::new(input))),
        })
    }
}

impl<R: Read> Read for Codec<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(out),
            Self::Gzip(gzip) => gzip.read(out),
            Self::Xz(xz) => xz.read(out),
            Self::Zstd(zstd) => zstd.read(out),
            Self::Bzip2(bzip2) => bzip2.read(out),
        }
    }
}

/// Bytes after the end that belong to nothing.
pub(super) fn trailing(format: Format) -> io::Error {
    let message = format!("bytes follow the end of the {format} stream that are none of it");
    io_error(Error::new(Kind::Format, message))
}

/// gzip, member after member. flate2's own multi-member decoder takes the zeros that may follow
/// for a broken member.
pub(super) struct Gzip<R> {
    /// `None` after the last member.
    member: Option<GzDecoder<Input<R>>>,
}

impl<R: Read> Gzip<R> {
    fn new(input: Input<R>) -> Self {
        Self {
            member: Some(GzDecoder::new(input)),
        }
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(out)?;
            if n > 0 {
                return Ok(n);
            }
            // The trailer was right. What follows is a member, zeros to the end, or the end.
            let Some(member) = self.member.take() else {
                break;
            };
            let mut input = member.into_inner();
            match input.peek(3)? {
                [] => {}
                [0x1f, 0x8b, 8] => self.member = Some(GzDecoder::new(input)),
                _ => zeros(&mut input)?,
            }
        }
        Ok(0)
    }
}

/// Reads zeros to the end of the stream.
fn zeros<R: Read>(input: &mut Input<R>) -> io::Result<()> {
    loop {
        let block = input.block()?;
        if block.is_empty() {
            return Ok(());
        }
        if block.iter().any(|byte| *byte != 0) {
            return Err(trailing(Format::Gzip));
        }
        let n = block.len();
        input.skip(n);
    }
}

/// Zstandard, frame after frame; skippable frames are skipped by the decoder.
pub(super) struct Zstd<R> {
    input: Input<R>,
    context: zstd::stream::raw::Decoder<'static>,
    /// Between two frames: the only place where the stream may end.
    between: bool,
}

impl<R: Read> Zstd<R> {
    fn new(input: Input<R>, window: u32) -> io::Result<Self> {
        let mut context = zstd::stream::raw::Decoder::new()?;
        context.set_parameter(DParameter::WindowLogMax(window))?;
        Ok(Self {
            input,
            context,
            between: true,
        })
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.between {
                let start = self.input.peek(4)?;
                if start.is_empty() {
                    return Ok(0);
                }
                if Format::of_magic(start) != Some(Format::Zstd) {
                    return Err(trailing(Format::Zstd));
                }
                self.context.reinit()?;
                self.between = false;
            }
            let input = self.input.fill_buf()?;
            let ended = input.is_empty();
            // Without input, what the decoder still holds comes out.
            let status = self.context.run_on_buffers(input, out)?;
            self.input.consume(status.bytes_read);
            self.between = status.remaining == 0;
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if ended && !self.between {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// bzip2, stream after stream.
pub(super) struct Bzip2<R> {
    input: Input<R>,
    /// `None` between two streams.
    stream: Option<bzip2::Decompress>,
}

impl<R: Read> Bzip2<R> {
    fn new(input: Input<R>) -> Self {
        Self {
            input,
            stream: None,
        }
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(stream) = &mut self.stream else {
                let start = self.input.peek(10)?;
                if start.is_empty() {
                    return Ok(0);
                }
                if Format::of_magic(start) != Some(Format::Bzip2) {
                    return Err(trailing(Format::Bzip2));
                }
                self.stream = Some(bzip2::Decompress::new(false));
                continue;
            };
            let input = self.input.fill_buf()?;
            let ended = input.is_empty();
            let before = (stream.total_in(), stream.total_out());
            let status = stream.decompress(input, out).map_err(io::Error::other)?;
            let read = step(before.0, stream.total_in());
            let written = step(before.1, stream.total_out());
            self.input.consume(read);
            if status == bzip2::Status::StreamEnd {
                self.stream = None;
            }
            if written > 0 {
                return Ok(written);
            }
            if ended && self.stream.is_some() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// How far a counter went: never further than a buffer is long.
pub(super) fn step(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}
