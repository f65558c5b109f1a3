//! The verifying reader.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

use crate::base::Digest;

/// What the bytes must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Their SHA-256.
    pub digest: Digest,
    /// How many they are, if known.
    pub size: Option<u64>,
    /// Where to stop if their number is not known: against endless data.
    pub limit: u64,
}

/// Proof that bytes with this digest and size went by. Only [`VerifyingReader::finish`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    digest: Digest,
    size: u64,
}

impl Verified {
    /// The digest that was pinned and found.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Why bytes are not what was expected.
#[derive(Debug)]
pub enum Fault {
    /// The source failed.
    Io(io::Error),
    /// The source ended early: the rest may still come from it or another one.
    Short {
        /// Bytes that arrived.
        got: u64,
        /// Bytes that belong there.
        expected: u64,
    },
    /// There are more bytes than there may be. Reading stopped one byte past the end.
    Long {
        /// How many there may be.
        allowed: u64,
    },
    /// All bytes are there, and they are not the pinned ones.
    Mismatch {
        /// What they hash to.
        actual: Digest,
        /// How many they are.
        size: u64,
    },
}

/// Passes bytes on while it hashes them, on a second thread where that pays.
///
/// The end of the stream is reported only after exactly the expected bytes, and after a probe for
/// one byte more. Data is handed out block by block, before the verdict: whoever writes it must
/// not give it its final name until [`finish`](Self::finish) has returned.
pub struct VerifyingReader<R> {
    inner: R,
    expect: Expect,
    hasher: Hasher,
    block: Vec<u8>,
    filled: usize,
    seen: u64,
    verified: Option<Verified>,
}

impl<R: Read> VerifyingReader<R> {
    /// Expects these bytes from `inner`, from the first one on.
    pub fn new(inner: R, expect: Expect) -> Self {
        let small = expect.size.is_some_and(|size| size < WORTH_A_THREAD);
        let hasher = if small {
            None
        } else {
            HashThread::start().ok()
        };
        Self {
            inner,
            expect,
            // Without a thread (none left on the machine) it is only slower.
            hasher: hasher.map_or_else(|| Hasher::Inline(Sha256::new()), Hasher::Thread),
            block: vec![0; BLOCK],
            filled: 0,
            seen: 0,
            verified: None,
        }
    }

    /// Takes the first `length` bytes from somewhere else: the kept part of an earlier download.
    ///
    /// # Errors
    /// `UnexpectedEof` if there are fewer.
    pub fn absorb(&mut self, mut prefix: impl Read, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let want = self
                .block
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = read_some(&mut prefix, &mut self.block[..want])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.filled = n;
            self.hand_over();
            self.seen += n as u64;
            left -= n as u64;
        }
        Ok(())
    }

    /// The next bytes; an empty slice at the verified end.
    ///
    /// # Errors
    /// A [`Fault`]. After one, the reader is of no further use.
    pub fn next_block(&mut self) -> Result<&[u8], Fault> {
        if self.block.len() - self.filled < ROOM {
            self.hand_over();
        }
        if self.verified.is_some() {
            return Ok(&[]);
        }
        let allowed = self.expect.size.unwrap_or(self.expect.limit);
        // One byte more than allowed is asked for: the probe.
        let want = (allowed - self.seen).saturating_add(1);
        let free = &mut self.block[self.filled..];
        let want = free.len().min(usize::try_from(want).unwrap_or(usize::MAX));
        let n = match read_some(&mut self.inner, &mut free[..want]) {
            Ok(n) => n,
            // Nothing is missing: a line that breaks after the last byte takes nothing away, and
            // the hash decides.
            Err(_) if self.expect.size == Some(self.seen) => 0,
            Err(error) => return Err(Fault::Io(error)),
        };
        if n == 0 {
            self.verified = Some(self.judge()?);
            return Ok(&[]);
        }
        self.seen += n as u64;
        if self.seen > allowed {
            return Err(Fault::Long { allowed });
        }
        let start = self.filled;
        self.filled += n;
        Ok(&self.block[start..self.filled])
    }

    /// Bytes seen so far, absorbed ones included.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The proof, once [`next_block`](Self::next_block) has reported the end.
    pub fn finish(self) -> Option<Verified> {
        self.verified
    }

    /// Reads and hashes all that is left, without giving it to anyone.
    ///
    /// # Errors
    /// A [`Fault`], as of [`next_block`](Self::next_block).
    pub fn drain(mut self) -> Result<Verified, Fault> {
        loop {
            if self.next_block()?.is_empty()
                && let Some(verified) = self.verified
            {
                return Ok(verified);
            }
        }
    }

    fn hand_over(&mut self) {
        if self.filled > 0 {
            self.hasher.update(&mut self.block, self.filled);
            self.filled = 0;
        }
    }

    fn judge(&mut self) -> Result<Verified, Fault> {
        if let Some(expected) = self.expect.size
            && self.seen < expected
        {
            let got = self.seen;
            return Err(Fault::Short { got, expected });
        }
        self.hand_over();
        let actual = self.hasher.finish().map_err(Fault::Io)?;
        let size = self.seen;
        if actual == self.expect.digest {
            Ok(Verified {
                digest: actual,
                size,
            })
        } else {
            Err(Fault::Mismatch { actual, size })
        }
    }
}

enum Hasher {
    Inline(Sha256),
    Thread(HashThread),
}

impl Hasher {
    /// Hashes the first `filled` bytes; leaves a block of the same length in its place.
    fn update(&mut self, block: &mut Vec<u8>, filled: usize) {
        match self {
            Self::Inline(hash) => hash.update(&block[..filled]),
            Self::Thread(thread) => thread.update(block, filled),
        }
    }

    fn finish(&mut self) -> io::Result<Digest> {
        let hash = match self {
            Self::Inline(hash) => std::mem::take(hash),
            Self::Thread(thread) => thread.finish()?,
        };
        Ok(Digest::from_bytes(hash.finalize().into()))
    }
}

/// Hashes blocks in order on its own thread, and gives them back to be filled again: memory is
/// bounded by the number of blocks, and nothing is copied.
struct HashThread {
    full: Option<SyncSender<(Vec<u8>, usize)>>,
    empty: Receiver<Vec<u8>>,
    spare: usize,
    thread: Option<JoinHandle<Sha256>>,
}

impl HashThread {
    fn start() -> io::Result<Self> {
        let (full, blocks) = sync_channel::<(Vec<u8>, usize)>(BLOCKS);
        let (give_back, empty) = sync_channel(BLOCKS);
        let run = move || {
            let mut hash = Sha256::new();
            for (block, filled) in blocks {
                hash.update(&block[..filled]);
                // Nobody waits for the last blocks.
                let _ = give_back.try_send(block);
            }
            hash
        };
        let thread = std::thread::Builder::new()
            .name("hash".to_owned())
            .stack_size(128 << 10)
            .spawn(run)?;
        Ok(Self {
            full: Some(full),
            empty,
            spare: BLOCKS - 1,
            thread: Some(thread),
        })
    }

    fn update(&mut self, block: &mut Vec<u8>, filled: usize) {
        let length = block.len();
        let next = match self.empty.try_recv() {
            Ok(block) => block,
            Err(_) if self.spare > 0 => {
                self.spare -= 1;
                vec![0; length]
            }
            Err(_) => self.empty.recv().unwrap_or_else(|_| vec![0; length]),
        };
        let full = std::mem::replace(block, next);
        if let Some(sender) = &self.full {
            // It can only fail if the thread has died; `finish` tells.
            let _ = sender.send((full, filled));
        }
    }

    fn finish(&mut self) -> io::Result<Sha256> {
        drop(self.full.take());
        let thread = self.thread.take();
        thread
            .and_then(|thread| thread.join().ok())
            .ok_or_else(|| io::Error::other("the hashing thread died"))
    }
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Large enough that handing over costs nothing, small enough to stay in a cache. Several reads
/// share a block, so that a slow line does not wake the hashing thread for every packet.
const BLOCK: usize = 1 << 20;

/// A block with less room than this is full: what the transport gives at once should fit.
const ROOM: usize = 256 << 10;

/// Blocks in flight between the reading and the hashing thread.
const BLOCKS: usize = 4;

/// Below this many bytes, starting a thread costs more than hashing.
const WORTH_A_THREAD: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest::from_bytes(Sha256::digest(bytes).into())
    }

    fn read(bytes: &[u8], digest: Digest, size: Option<u64>) -> Result<Vec<u8>, Fault> {
        let expect = Expect {
            digest,
            size,
            limit: 3 << 20,
        };
        let mut reader = VerifyingReader::new(bytes, expect);
        let mut got = Vec::new();
        loop {
            let block = reader.next_block()?;
            if block.is_empty() {
                break;
            }
            got.extend_from_slice(block);
        }
        let verified = reader.finish().unwrap();
        assert_eq!(verified.size(), got.len() as u64);
        Ok(got)
    }

    #[test]
    fn exactly_the_pinned_bytes_or_a_fault() {
        for length in [0, 1, BLOCK, BLOCK + 1, 2 << 20, (2 << 20) + 7] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            let (hash, size) = (digest(&bytes), length as u64);
            assert_eq!(read(&bytes, hash, Some(size)).unwrap(), bytes);
            assert_eq!(read(&bytes, hash, None).unwrap(), bytes);

            let short = read(&bytes, hash, Some(size + 1));
            assert!(matches!(short, Err(Fault::Short { got, .. }) if got == size));
            if length > 0 {
                let long = read(&bytes, hash, Some(size - 1));
                assert!(matches!(long, Err(Fault::Long { allowed }) if allowed == size - 1));
                let mut wrong = bytes.clone();
                wrong[length / 2] ^= 1;
                let expect = digest(&wrong);
                let fault = read(&wrong, hash, Some(size));
                assert!(matches!(fault, Err(Fault::Mismatch { actual, .. }) if actual == expect));
            }
        }
    }

    #[test]
    fn endless_data_of_unknown_size_stops_at_the_limit() {
        let expect = Expect {
            digest: digest(b""),
            size: None,
            limit: 3 << 20,
        };
        let mut reader = VerifyingReader::new(io::repeat(0), expect);
        let fault = loop {
            if let Err(fault) = reader.next_block() {
                break fault;
            }
        };
        assert!(matches!(fault, Fault::Long { allowed } if allowed == 3 << 20));
        assert_eq!(reader.seen(), (3 << 20) + 1);
    }

    #[test]
    fn a_line_that_breaks_after_the_last_byte_is_no_fault() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let read = |digest, size| {
            let expect = Expect {
                digest,
                size,
                limit: 100,
            };
            VerifyingReader::new((&b"all"[..]).chain(Broken), expect).drain()
        };
        assert_eq!(read(digest(b"all"), Some(3)).unwrap().size(), 3);
        assert!(matches!(
            read(digest(b"other"), Some(3)),
            Err(Fault::Mismatch { .. })
        ));
        assert!(matches!(read(digest(b"all"), Some(4)), Err(Fault::Io(_))));
        assert!(matches!(read(digest(b"all"), None), Err(Fault::Io(_))));
    }

    #[test]
    fn a_kept_prefix_counts() {
        let bytes = vec![9; 3 << 20];
        for kept in [0, 1, BLOCK + 5, 3 << 20] {
            let expect = Expect {
                digest: digest(&bytes),
                size: Some(bytes.len() as u64),
                limit: 0,
            };
            let mut reader = VerifyingReader::new(&bytes[kept..], expect);
            reader.absorb(&bytes[..], kept as u64).unwrap();
            assert_eq!(reader.drain().unwrap().size(), 3 << 20);
        }
    }
}
