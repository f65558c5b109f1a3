//! Decoding on a thread of its own, so that it overlaps with writing.

use std::fmt;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::decode::{Decoder, Format};

/// What a decoder on its own thread has decoded.
///
/// A few blocks go round between two threads: memory is bounded, and the decoder waits when nobody
/// reads. Dropping it ends the thread at its next block.
pub struct Threaded(Inner);

enum Inner {
    /// A format that costs nothing, or a machine without threads to spare.
    Here(Box<dyn Read + Send>),
    There(Blocks),
}

impl Threaded {
    pub(super) fn new<R: Read + Send + 'static>(decoder: Decoder<R>) -> Self {
        if decoder.format() == Format::Plain {
            return Self(Inner::Here(Box::new(decoder)));
        }
        let (full, blocks) = sync_channel(BLOCKS);
        let (give_back, empty) = sync_channel(BLOCKS);
        let (hand_in, take) = sync_channel::<Decoder<R>>(1);
        let run = move || {
            if let Ok(decoder) = take.recv() {
                work(decoder, &full, &empty);
            }
        };
        // The decoder follows through a channel: a thread that cannot be started would take it
        // along.
        let started = std::thread::Builder::new()
            .name("decode".to_owned())
            .stack_size(STACK)
            .spawn(run);
        if started.is_err() {
            return Self(Inner::Here(Box::new(decoder)));
        }
        match hand_in.send(decoder) {
            Ok(()) => Self(Inner::There(Blocks {
                decoded: blocks,
                give_back,
                block: Vec::new(),
                at: 0,
                state: State::Running,
            })),
            Err(unsent) => Self(Inner::Here(Box::new(unsent.0))),
        }
    }
}

impl Read for Threaded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Here(decoder) => decoder.read(out),
            Inner::There(blocks) => blocks.read(out),
        }
    }
}

impl fmt::Debug for Threaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threaded").finish_non_exhaustive()
    }
}

/// The reading side.
struct Blocks {
    decoded: Receiver<io::Result<Vec<u8>>>,
    give_back: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Running,
    Ended,
    Failed,
}

impl Blocks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.state == State::Failed {
            return Err(io::Error::other("the decoder failed before"));
        }
        if self.at == self.block.len() && self.state == State::Running {
            let used = std::mem::take(&mut self.block);
            self.at = 0;
            if used.capacity() > 0 {
                // The thread may have ended; then nobody needs the block.
                let _ = self.give_back.try_send(used);
            }
            let next = self.decoded.recv();
            self.block = match next {
                Ok(Ok(block)) => block,
                Ok(Err(error)) => {
                    self.state = State::Failed;
                    return Err(error);
                }
                Err(_) => {
                    self.state = State::Failed;
                    return Err(io::Error::other("the decoding thread died"));
                }
            };
            // An empty block is the end, so that a thread that died is not taken for it.
            if self.block.is_empty() {
                self.state = State::Ended;
            }
        }
        let n = out.len().min(self.block.len() - self.at);
        out[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// The decoding side: fills blocks until the end, an error, or until nobody reads.
fn work<R: Read>(
    mut decoder: Decoder<R>,
    full: &SyncSender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) {
    let mut made = 0;
    loop {
        let mut block = match empty.try_recv() {
            Ok(block) => block,
            Err(_) if made < BLOCKS => {
                made += 1;
                Vec::new()
            }
            Err(_) => match empty.recv() {
                Ok(block) => block,
                Err(_) => return,
            },
        };
        block.resize(BLOCK, 0);
        let (filled, error) = fill(&mut decoder, &mut block);
        let ended = filled == 0;
        block.truncate(filled);
        // What was decoded before an error is handed over first.
        if (!ended || error.is_none()) && full.send(Ok(block)).is_err() {
            return;
        }
        if let Some(error) = error {
            let _ = full.send(Err(error));
            return;
        }
        if ended {
            return;
        }
    }
}

/// Fills a block as far as the stream goes.
fn fill(decoder: &mut impl Read, block: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < block.len() {
        match decoder.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

/// Large enough that handing over costs nothing, small enough that all of them stay in a cache.
const BLOCK: usize = 256 << 10;

/// Blocks between the two threads.
const BLOCKS: usize = 4;

/// liblzma and libzstd keep their state on the heap.
const STACK: usize = 256 << 10;
