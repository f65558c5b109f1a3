//! The tar reader.

use std::fmt;
use std::io::{self, Read};

use super::block::{BLOCK, Block};
use super::decode::{Checks, Decoder, Format};
use super::entry::{Entry, Limits};
use super::header::{self, Header, Pending};
use super::input::{Input, error_of, io_error};
use super::pax::{Records, Scope, show};
use super::sparse::{self, MapReader};
use super::thread::Threaded;
use crate::error::{Error, Kind, Result};

/// Reads the entries of a tar, in every dialect, or refuses it.
///
/// Refused is what is malformed, and what different programs read differently: then nobody can
/// say what the archive holds. An error names the entry and the offset of its header in the
/// decompressed stream; after one, the reader is of no further use.
///
/// ```
/// use distro_fetch::archive::{Limits, Reader};
///
/// # fn main() -> distro_fetch::Result<()> {
/// # let mut bytes = vec![0; 512];
/// # bytes[0] = b'a';
/// # bytes[148..156].copy_from_slice(b"000541\0 ");
/// # bytes.resize(1536, 0);
/// # let file = &bytes[..];
/// let mut reader = Reader::new(file, Limits::default());
/// while let Some(entry) = reader.next_entry()? {
///     println!("{} {}", entry.path.escape_ascii(), entry.size);
/// }
/// reader.finish()?;
/// # Ok(())
/// # }
/// ```
pub struct Reader<R> {
    input: Input<R>,
    limits: Limits,
    empty: Empty,
    end: End,
    /// Offset of the next byte in the stream.
    at: u64,
    /// Bytes of data of the current entry that nobody has read.
    left: u64,
    /// What follows them up to the next header.
    padding: u64,
    /// Entries, and headers that stand for none: what the limit counts.
    headers: u64,
    found: bool,
    global: Records,
    /// For messages: the current entry and where its headers begin.
    name: Vec<u8>,
    start: u64,
    state: State,
}

/// What to think of an archive without entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Empty {
    /// It is an error: an empty root file system is none.
    #[default]
    Refuse,
    /// It is fine: a layer may change nothing.
    Allow,
}

/// Where an archive may end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// At an end marker: nothing else tells that nothing is missing.
    #[default]
    Marked,
    /// Also behind the data of any entry, if that is the end of the stream. umoci leaves such
    /// layers, and GNU tar complains of them; whose bytes have a known hash, of them nothing is
    /// missing.
    Anywhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The end marker was read.
    Ended,
    Failed,
}

impl Reader<Threaded> {
    /// Decodes `source` on a thread of its own and reads the tar within.
    ///
    /// # Errors
    /// Those of [`Decoder::new`].
    pub fn open<R: Read + Send + 'static>(
        source: R,
        format: Format,
        limits: Limits,
        checks: Checks,
    ) -> Result<Self> {
        let decoder = Decoder::new(source, format, &limits, checks)?;
        Ok(Self::new(decoder.threaded(), limits))
    }
}

impl<R: Read> Reader<R> {
    /// Reads a tar from its first byte on.
    pub fn new(source: R, limits: Limits) -> Self {
        Self {
            input: Input::new(source, BUFFER),
            limits,
            empty: Empty::Refuse,
            end: End::Marked,
            at: 0,
            left: 0,
            padding: 0,
            headers: 0,
            found: false,
            global: Records::default(),
            name: Vec::new(),
            start: 0,
            state: State::Open,
        }
    }

    /// Settles what an archive without entries is.
    #[must_use]
    pub fn with_empty(mut self, empty: Empty) -> Self {
        self.empty = empty;
        self
    }

    /// Settles where it may end.
    #[must_use]
    pub fn with_end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// The next entry; `None` at the end marker. What is left of the current one's data is skipped.
    ///
    /// # Errors
    /// [`Kind::Format`] for an archive that is malformed, ambiguous, truncated or beyond the
    /// limits; [`Kind::Local`] or the source's own error where it cannot be read.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        match self.state {
            State::Open => {}
            State::Ended => return Ok(None),
            State::Failed => return Err(failed()),
        }
        let next = self.skip_data().and_then(|()| self.advance());
        if next.is_err() {
            self.state = State::Failed;
        }
        next
    }

    /// The next piece of the current entry's data, without a copy; an empty slice at its end. For
    /// a sparse file these are the bytes of its extents, one extent after the other.
    ///
    /// # Errors
    /// [`Kind::Format`] if the archive ends within the data; the source's errors.
    pub fn next_block(&mut self) -> Result<&[u8]> {
        if self.state == State::Failed {
            return Err(failed());
        }
        if self.left == 0 {
            return Ok(&[]);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let n = match self.input.block() {
            Ok(block) if !block.is_empty() => block.len().min(most),
            Ok(_) => return Err(self.truncated()),
            Err(error) => {
                self.state = State::Failed;
                return Err(error_of(error));
            }
        };
        self.left -= n as u64;
        self.at += n as u64;
        Ok(self.input.pass(n))
    }

    /// Reads some of the current entry's data; 0 at its end.
    ///
    /// # Errors
    /// Those of [`next_block`](Self::next_block).
    pub fn read_data(&mut self, out: &mut [u8]) -> Result<usize> {
        if self.state == State::Failed {
            return Err(failed());
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(out.len());
        if most == 0 {
            return Ok(0);
        }
        match self.input.read(&mut out[..most]) {
            Ok(0) => Err(self.truncated()),
            Ok(n) => {
                self.left -= n as u64;
                self.at += n as u64;
                Ok(n)
            }
            Err(error) => {
                self.state = State::Failed;
                Err(error_of(error))
            }
        }
    }

    /// The entries, one after the other; the data of each is read from the iterator while it is
    /// the last one that came.
    pub fn entries(&mut self) -> Entries<'_, R> {
        Entries { reader: self }
    }

    /// Reads on to the end marker, checking what is there, and then to the end of the stream:
    /// whatever follows is nobody's, but the trailers of a compressed stream are behind it.
    ///
    /// # Errors
    /// Those of [`next_entry`](Self::next_entry).
    pub fn finish(mut self) -> Result<R> {
        while self.next_entry()?.is_some() {}
        loop {
            let n = self.input.block().map_err(error_of)?.len();
            if n == 0 {
                return Ok(self.input.into_inner());
            }
            self.input.skip(n);
        }
    }

    /// Bytes of the decompressed stream that were read so far.
    pub fn offset(&self) -> u64 {
        self.at
    }

    fn advance(&mut self) -> Result<Option<Entry>> {
        self.start = self.at;
        self.name.clear();
        let mut pending = Pending::default();
        loop {
            let block = self.header()?;
            let Some(block) = block else {
                if !pending.is_empty() {
                    return Err(self.refuse("a header for an entry that does not follow"));
                }
                if !self.found && self.empty == Empty::Refuse {
                    return Err(Error::new(Kind::Format, "tar: there is no entry in it"));
                }
                self.state = State::Ended;
                return Ok(None);
            };
            let read = Header::read(&block, &mut pending, &self.global, &self.limits);
            match read.map_err(|why| self.refuse(&why))? {
                Header::Entry(entry, archived) => {
                    self.count()?;
                    return self.begin(*entry, &block, archived).map(Some);
                }
                Header::Place(entry, archived) => {
                    self.count()?;
                    return self.begin_mapped(*entry, archived).map(Some);
                }
                Header::LongName(size) => {
                    let name = self.long(size)?;
                    self.name.clone_from(&name);
                    pending.name = Some(name);
                }
                Header::LongLink(size) => pending.link = Some(self.long(size)?),
                Header::Extended(size) => pending.records = Some(self.records(size, Scope::One)?),
                Header::Global(size) => {
                    self.count()?;
                    let records = self.records(size, Scope::All)?;
                    self.global.update(records);
                    self.start = self.at;
                }
                Header::Label(size) => {
                    self.count()?;
                    self.padding = padded(size);
                    self.skip_data()?;
                    self.start = self.at;
                }
            }
        }
    }

    /// The next header; `None` at the end marker, which is two blocks of zeros.
    fn header(&mut self) -> Result<Option<Block>> {
        let Some(block) = self.block()? else {
            return match self.end {
                End::Marked => Err(self.refuse("it ends without an end marker")),
                End::Anywhere => Ok(None),
            };
        };
        if block.bytes().iter().any(|byte| *byte != 0) {
            if !block.is_sound() {
                return Err(self.refuse("a header with a wrong checksum"));
            }
            return Ok(Some(block));
        }
        // One block of zeros and nothing more: some programs do not write the second one. But one
        // before anything else is the end for some readers, and nothing for others.
        match self.block()? {
            Some(second) if second.bytes().iter().any(|byte| *byte != 0) => {
                Err(self.refuse("a lone block of zeros amid the entries"))
            }
            _ => Ok(None),
        }
    }

    /// The next block; `None` at the end of the stream.
    fn block(&mut self) -> Result<Option<Block>> {
        let bytes = self.input.peek(BLOCK).map_err(error_of)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some(block) = Block::new(bytes) else {
            return Err(self.refuse("it ends within a header"));
        };
        self.input.skip(BLOCK);
        self.at += BLOCK as u64;
        Ok(Some(block))
    }

    fn count(&mut self) -> Result<()> {
        self.headers += 1;
        if self.headers > self.limits.entries {
            let why = format!("more than {} entries: the limit", self.limits.entries);
            return Err(self.refuse(&why));
        }
        Ok(())
    }

    /// Starts on an entry whose map, if it has one, is in its headers.
    fn begin(&mut self, mut entry: Entry, block: &Block, archived: u64) -> Result<Entry> {
        self.name.clone_from(&entry.path);
        if block.flag() == b'S' {
            let most = self.limits.extents;
            let refuse = |reader: &Self, why: String| reader.refuse(&why);
            let (mut map, mut more, size) =
                sparse::old_header(block, most).map_err(|why| refuse(self, why))?;
            while more {
                let Some(block) = self.block()? else {
                    return Err(self.refuse("it ends within a sparse map"));
                };
                more =
                    sparse::old_block(&block, &mut map, most).map_err(|why| refuse(self, why))?;
            }
            entry.size = size;
            entry.extents = Some(map);
        }
        self.settle(entry, archived)
    }

    /// Starts on an entry whose map stands before its data.
    fn begin_mapped(&mut self, mut entry: Entry, archived: u64) -> Result<Entry> {
        self.name.clone_from(&entry.path);
        let mut map = MapReader::new();
        let mut read = 0;
        loop {
            // The map is a part of the data: it may not run beyond it.
            if read + BLOCK as u64 > archived {
                return Err(self.refuse("a sparse map longer than the data that it is in"));
            }
            let Some(block) = self.block()? else {
                return Err(self.refuse("it ends within a sparse map"));
            };
            read += BLOCK as u64;
            let done = map.block(block.bytes(), self.limits.extents);
            if let Some(map) = done.map_err(|why| self.refuse(&why))? {
                entry.extents = Some(map);
                return self.settle(entry, archived - read);
            }
        }
    }

    /// The last checks, when all is known of an entry.
    fn settle(&mut self, mut entry: Entry, archived: u64) -> Result<Entry> {
        let settled = match entry.extents.take() {
            Some(map) => sparse::check(map, entry.size, archived),
            None => Ok(None),
        };
        entry.extents = settled.map_err(|why| self.refuse(&why))?;
        header::judge(&entry, &self.limits).map_err(|why| self.refuse(&why))?;
        // What has a size has data; what a directory of an incremental dump carries is none.
        self.found = true;
        self.left = if entry.is_file() { archived } else { 0 };
        self.padding = padded(archived) - self.left;
        Ok(entry)
    }

    /// The data of a GNU long name: bytes, and NULs at the end.
    fn long(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.extension(size)?;
        let end = name.iter().rposition(|byte| *byte != 0);
        name.truncate(end.map_or(0, |at| at + 1));
        if name.is_empty() || name.contains(&0) {
            let why = format!("a long name that is empty or holds a NUL: {}", show(&name));
            return Err(self.refuse(&why));
        }
        Ok(name)
    }

    fn records(&mut self, size: u64, scope: Scope) -> Result<Records> {
        let data = self.extension(size)?;
        let records = Records::parse(&data, scope, self.limits.extents);
        records.map_err(|why| self.refuse(&why))
    }

    /// The data of an extension header. Memory grows with what is there, not with what is claimed.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > self.limits.header {
            let limit = self.limits.header;
            let why = format!("an extension header of {size} bytes: the limit is {limit}");
            return Err(self.refuse(&why));
        }
        self.left = size;
        self.padding = padded(size) - size;
        let mut data = Vec::new();
        loop {
            let block = self.next_block()?;
            if block.is_empty() {
                break;
            }
            data.extend_from_slice(block);
        }
        self.skip_data()?;
        Ok(data)
    }

    /// Steps over what is left before the next header.
    fn skip_data(&mut self) -> Result<()> {
        while !self.next_block()?.is_empty() {}
        let padding = std::mem::take(&mut self.padding);
        let ends = |it: &mut Input<R>| Ok(it.block().map_err(error_of)?.is_empty());
        if padding > 0 && self.end == End::Anywhere && ends(&mut self.input)? {
            return Ok(());
        }
        self.left = padding;
        while !self.next_block()?.is_empty() {}
        Ok(())
    }

    fn truncated(&mut self) -> Error {
        self.state = State::Failed;
        self.refuse("it ends within the data")
    }

    fn refuse(&self, why: &str) -> Error {
        let at = self.start;
        let message = if self.name.is_empty() {
            format!("tar: entry at byte {at}: {why}")
        } else {
            format!("tar: entry {} at byte {at}: {why}", show(&self.name))
        };
        Error::new(Kind::Format, message)
    }
}

/// The data of the current entry.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_data(out).map_err(io_error)
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("at", &self.at)
            .field("headers", &self.headers)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The entries of a [`Reader`], one after the other.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Read;
/// use distro_fetch::archive::{Checks, Format, Limits, Reader};
///
/// let file = std::fs::File::open("rootfs.tar.xz")?;
/// let mut reader = Reader::open(file, Format::Xz, Limits::default(), Checks::Verify)?;
/// let mut entries = reader.entries();
/// while let Some(entry) = entries.next().transpose()? {
///     if entry.path == b"etc/os-release" {
///         let mut text = String::new();
///         entries.read_to_string(&mut text)?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Entries<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Iterator for Entries<'_, R> {
    type Item = Result<Entry>;

    /// The next entry. After an error there is none.
    fn next(&mut self) -> Option<Result<Entry>> {
        if self.reader.state == State::Failed {
            return None;
        }
        self.reader.next_entry().transpose()
    }
}

/// The data of the entry that came last.
impl<R: Read> Read for Entries<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out)
    }
}

fn failed() -> Error {
    Error::new(Kind::Format, "tar: it failed before")
}

/// Whole blocks. No size is so large that this overflows: numbers have 63 bits.
fn padded(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64)
}

/// Large enough that a small file is one read, small enough to stay in a cache.
const BUFFER: usize = 128 << 10;
