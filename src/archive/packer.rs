//! The tar writer.

use std::io::Write;

use super::block::BLOCK;
use super::entry::{Entry, Kind as What, Time};
use super::xattr;
use crate::error::{Error, Kind, Result};

/// Writes a tar: headers of POSIX.1-1988 (ustar), and of POSIX.1-2001 (pax) in front of those that
/// say more than fits. What is written depends on the entries alone.
///
/// ```
/// use distro_fetch::archive::{Entry, Kind, Packer, Reader, Time};
///
/// # fn main() -> distro_fetch::Result<()> {
/// let hello = Entry {
///     path: b"hello".to_vec(),
///     kind: Kind::File,
///     mode: 0o644,
///     uid: 0,
///     gid: 0,
///     mtime: Time { seconds: 1_700_000_000, nanos: 5 },
///     size: 6,
///     xattrs: Default::default(),
///     extents: None,
/// };
/// let mut packer = Packer::new(Vec::new());
/// packer.add(&hello)?;
/// packer.write(b"hello\n")?;
/// let tar = packer.finish()?;
/// let mut reader = Reader::new(&tar[..], Default::default());
/// assert_eq!(reader.next_entry()?, Some(hello));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a tar without its end is none"]
pub struct Packer<W> {
    out: W,
    /// Bytes of the current entry's content that are still to come.
    left: u64,
    padding: usize,
}

impl<W: Write> Packer<W> {
    /// Starts a tar.
    pub fn new(out: W) -> Self {
        Self {
            out,
            left: 0,
            padding: 0,
        }
    }

    /// Writes the headers of an entry. As many bytes of content as its size says follow by
    /// [`write`](Self::write): holes are not kept, `extents` is not looked at.
    ///
    /// # Errors
    /// [`Kind::Local`] if it cannot be written; [`Kind::Other`] if content of the last entry is
    /// missing.
    pub fn add(&mut self, entry: &Entry) -> Result<()> {
        self.end_content()?;
        let mut path = entry.path.clone();
        if entry.kind == What::Directory && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let size = if entry.is_file() { entry.size } else { 0 };
        let mut header = Header::new(entry);
        let mut records = Vec::new();
        if !header.text(0..100, &path) {
            record(&mut records, b"path", &path);
        }
        if let What::Symlink(text) | What::Hardlink(text) = &entry.kind
            && !header.text(157..257, text)
        {
            record(&mut records, b"linkpath", text);
        }
        for (field, number, keyword) in [
            (108..116, entry.uid, "uid"),
            (116..124, entry.gid, "gid"),
            (124..136, size, "size"),
        ] {
            if !header.number(field, number) {
                record(
                    &mut records,
                    keyword.as_bytes(),
                    number.to_string().as_bytes(),
                );
            }
        }
        let Time { seconds, nanos } = entry.mtime;
        let whole = u64::try_from(seconds).is_ok_and(|it| header.number(136..148, it));
        if !whole || nanos != 0 {
            record(&mut records, b"mtime", time(entry.mtime).as_bytes());
        }
        for (name, value) in &entry.xattrs {
            let keyword = [b"SCHILY.xattr.".as_slice(), &xattr::escape(name)].concat();
            record(&mut records, &keyword, value);
        }
        if !records.is_empty() {
            let mut extended = Header::extended();
            extended.number(124..136, records.len() as u64);
            self.put(&extended.sealed())?;
            records.resize(records.len().next_multiple_of(BLOCK), 0);
            self.put(&records)?;
        }
        self.put(&header.sealed())?;
        self.left = size;
        self.padding = padding(size);
        Ok(())
    }

    /// Writes some of the current entry's content.
    ///
    /// # Errors
    /// [`Kind::Local`] if it cannot be written; [`Kind::Other`] if that is more than its size.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| Error::new(Kind::Other, "more content than was said"))?;
        self.put(bytes)
    }

    /// Writes the end marker.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn finish(mut self) -> Result<W> {
        self.end_content()?;
        self.put(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn end_content(&mut self) -> Result<()> {
        if self.left > 0 {
            return Err(Error::new(Kind::Other, "less content than was said"));
        }
        let padding = std::mem::take(&mut self.padding);
        self.put(&[0; BLOCK][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(|error| match error.downcast::<Error>() {
                // The output is one of ours, and says it better.
                Ok(ours) => ours,
                Err(error) => Error::new(Kind::Local, "cannot write").with_source(error),
            })
    }
}

/// POSIX.1-2001, pax, "ustar Interchange Format".
struct Header([u8; BLOCK]);

impl Header {
    fn new(entry: &Entry) -> Self {
        let flag = match &entry.kind {
            What::File => b'0',
            What::Hardlink(_) => b'1',
            What::Symlink(_) => b'2',
            What::Character(_) => b'3',
            What::Block(_) => b'4',
            What::Directory => b'5',
            What::Fifo => b'6',
        };
        let mut header = Self::of(flag);
        header.number(100..108, (entry.mode & 0o7777).into());
        if let What::Character(device) | What::Block(device) = entry.kind {
            header.number(329..337, device.major.into());
            header.number(337..345, device.minor.into());
        }
        header
    }

    /// In front of a header: records that say more.
    fn extended() -> Self {
        let mut header = Self::of(b'x');
        header.text(0..100, b"PaxHeaders/x");
        header.number(100..108, 0o644);
        header
    }

    fn of(flag: u8) -> Self {
        let mut header = Self([0; BLOCK]);
        header.0[156] = flag;
        header.0[257..265].copy_from_slice(b"ustar\x0000");
        for field in [108..116, 116..124, 124..136, 136..148, 329..337, 337..345] {
            header.number(field, 0);
        }
        header
    }

    /// Puts as much of a text into a field as there is room for; whether that is all of it.
    fn text(&mut self, field: std::ops::Range<usize>, text: &[u8]) -> bool {
        let field = &mut self.0[field];
        let room = field.len().min(text.len());
        field[..room].copy_from_slice(&text[..room]);
        room == text.len()
    }

    /// Puts a number into a field, in octal with a NUL behind it; whether there is room.
    fn number(&mut self, field: std::ops::Range<usize>, number: u64) -> bool {
        let digits = field.len() - 1;
        let text = format!("{number:0digits$o}");
        let fits = text.len() == digits;
        if fits {
            self.0[field][..digits].copy_from_slice(text.as_bytes());
        }
        fits
    }

    fn sealed(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// A record says its own length, the digits of that included.
fn record(out: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(keyword);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A decimal: what is below zero is counted from there, not from the second before.
fn time(Time { seconds, nanos }: Time) -> String {
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// Zeros up to the next block. A remainder is less than a block.
fn padding(size: u64) -> usize {
    let rest = size % BLOCK as u64;
    usize::try_from((BLOCK as u64 - rest) % BLOCK as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_decimals() {
        let check = |seconds, nanos, expect: &str| {
            assert_eq!(time(Time { seconds, nanos }), expect);
        };
        check(0, 0, "0");
        check(1, 500_000_000, "1.5");
        check(-2, 500_000_000, "-1.5");
        check(-1, 999_999_999, "-0.000000001");
        check(i64::MIN, 0, "-9223372036854775808");
    }

    #[test]
    fn records_count_their_own_digits() {
        let check = |value: usize, expect: usize| {
            let mut out = Vec::new();
            record(&mut out, b"path", &vec![b'x'; value]);
            assert_eq!(out.len(), expect);
            assert!(out.starts_with(expect.to_string().as_bytes()));
        };
        check(1, 9);
        check(2, 11);
        check(3, 12);
        check(91, 101);
        check(90, 99);
    }
}
