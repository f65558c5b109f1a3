//! Maps of sparse files: four spellings of "data here, holes elsewhere".
//!
//! Sources: GNU tar's manual, "Storing Sparse Files" (PAX 0.0, 0.1 and 1.0) and `struct oldgnu_header`,
//! `struct sparse_header` in its `tar.h`.
//!
//! GNU tar puts each piece of data into blocks of its own; Go, Python and libarchive read the
//! pieces as if they were not padded. Both agree where every piece but the last fills its blocks,
//! which is what a file system's holes give; anything else is refused.

use super::block::{BLOCK, Block, natural};
use super::entry::Extent;
use super::pax::{name, number};

/// What `GNU.sparse.*` records say.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    major: Option<u64>,
    minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    pieces: Option<u64>,
    offset: Option<u64>,
    map: Vec<Extent>,
    mapped: bool,
}

/// Where the map of a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: the file has no holes.
    None,
    /// In its headers: the size of the file, and the pieces.
    Here(u64, Vec<Extent>),
    /// At the start of its data; the size of the file.
    InData(u64),
}

impl Sparse {
    pub(super) fn take(&mut self, keyword: &[u8], value: &[u8], most: usize) -> Result<(), String> {
        match keyword {
            b"major" => self.major = Some(number(value)?),
            b"minor" => self.minor = Some(number(value)?),
            b"name" => self.name = Some(name(value)?),
            // The first one is that of the formats before 1.0.
            b"size" | b"realsize" => {
                let size = number(value)?;
                if self.size.is_some_and(|other| other != size) {
                    return Err("another size than before".to_owned());
                }
                self.size = Some(size);
            }
            b"numblocks" => self.pieces = Some(number(value)?),
            b"offset" => {
                if self.offset.replace(number(value)?).is_some() {
                    return Err("two offsets for one length".to_owned());
                }
            }
            b"numbytes" => {
                let offset = self.offset.take();
                let offset = offset.ok_or_else(|| "a length without an offset".to_owned())?;
                let length = number(value)?;
                push(&mut self.map, Extent { offset, length }, most)?;
                self.mapped = true;
            }
            b"map" => {
                if self.mapped {
                    return Err("two maps".to_owned());
                }
                let mut numbers = value.split(|byte| *byte == b',');
                // An empty map is written as nothing at all.
                while let Some(offset) = numbers.next().filter(|_| !value.is_empty()) {
                    let offset = number(offset)?;
                    let length = numbers.next();
                    let length = length.ok_or_else(|| "an offset without a length".to_owned())?;
                    let length = number(length)?;
                    push(&mut self.map, Extent { offset, length }, most)?;
                }
                self.mapped = true;
            }
            // Whoever added another keyword meant something by it.
            _ => return Err("an unknown word of a sparse map".to_owned()),
        }
        Ok(())
    }

    /// Puts the records together.
    pub(super) fn place(&mut self) -> Result<Place, String> {
        let map = std::mem::take(&mut self.map);
        let version = (self.major, self.minor);
        let said = self.mapped || self.pieces.is_some() || self.offset.is_some();
        if version == (Some(1), Some(0)) {
            return match self.size {
                Some(size) if !said => Ok(Place::InData(size)),
                _ => Err("a sparse map of two versions at once, or without a size".to_owned()),
            };
        }
        // Nothing of a map: star and others leave a lone real size.
        if version == (None, None) && !said {
            return match (&self.name, self.size) {
                (None, None) => Ok(Place::None),
                _ => Err("a sparse file without a map".to_owned()),
            };
        }
        if !matches!(version, (None, None) | (Some(0), Some(0 | 1))) {
            return Err("a sparse map of an unknown version".to_owned());
        }
        let Some(size) = self.size else {
            return Err("a sparse map without the size of the file".to_owned());
        };
        if self.offset.is_some() {
            return Err("a sparse map with an offset without a length".to_owned());
        }
        if self.pieces.is_some_and(|pieces| pieces != map.len() as u64) {
            return Err("a sparse map of another length than it says".to_owned());
        }
        Ok(Place::Here(size, map))
    }
}

/// The pieces that an old GNU header (type `S`) has room for, whether more blocks of them follow,
/// and the size of the file.
pub(super) fn old_header(block: &Block, most: usize) -> Result<(Vec<Extent>, bool, u64), String> {
    let bytes = block.bytes();
    let mut map = Vec::new();
    pieces(&bytes[386..482], &mut map, most)?;
    let size = natural(&bytes[483..495], "real size")?;
    Ok((map, bytes[482] != 0, size))
}

/// The pieces in a block that follows such a header, and whether another one does.
pub(super) fn old_block(block: &Block, map: &mut Vec<Extent>, most: usize) -> Result<bool, String> {
    let bytes = block.bytes();
    pieces(&bytes[..504], map, most)?;
    Ok(bytes[504] != 0)
}

fn pieces(bytes: &[u8], map: &mut Vec<Extent>, most: usize) -> Result<(), String> {
    let mut ended = false;
    for piece in bytes.chunks_exact(24) {
        let (offset, length) = piece.split_at(12);
        // Places that are not used are NULs; the piece that marks the end of a file is not.
        if length[0] == 0 {
            ended = true;
            continue;
        }
        if ended {
            return Err("a gap in a sparse map".to_owned());
        }
        let extent = Extent {
            offset: natural(offset, "offset of a sparse map")?,
            length: natural(length, "length of a sparse map")?,
        };
        push(map, extent, most)?;
    }
    Ok(())
}

/// Reads the map that PAX 1.0 puts before the data, block after block.
pub(super) struct MapReader {
    /// `None` before the count was read.
    pieces: Option<usize>,
    digits: Vec<u8>,
    offset: Option<u64>,
    map: Vec<Extent>,
}

impl MapReader {
    pub(super) fn new() -> Self {
        Self {
            pieces: None,
            digits: Vec::new(),
            offset: None,
            map: Vec::new(),
        }
    }

    /// Reads a block; the map, once it is whole.
    pub(super) fn block(
        &mut self,
        block: &[u8; BLOCK],
        most: usize,
    ) -> Result<Option<Vec<Extent>>, String> {
        for byte in block {
            if *byte != b'\n' {
                self.digits.push(*byte);
                if self.digits.len() > DIGITS {
                    return Err("a malformed sparse map".to_owned());
                }
                continue;
            }
            let number = number(&self.digits)?;
            self.digits.clear();
            match (self.pieces, self.offset.take()) {
                (None, _) => {
                    let pieces = usize::try_from(number)
                        .ok()
                        .filter(|pieces| *pieces <= most);
                    self.pieces = Some(pieces.ok_or_else(|| too_many(most))?);
                }
                (Some(_), None) => self.offset = Some(number),
                (Some(_), Some(offset)) => {
                    let length = number;
                    push(&mut self.map, Extent { offset, length }, most)?;
                }
            }
            if self.pieces == Some(self.map.len()) && self.offset.is_none() {
                return Ok(Some(std::mem::take(&mut self.map)));
            }
        }
        Ok(None)
    }
}

/// Checks a map against the file and what the archive holds of it. `None`: there are no holes.
pub(super) fn check(
    map: Vec<Extent>,
    size: u64,
    archived: u64,
) -> Result<Option<Vec<Extent>>, String> {
    let mut checked: Vec<Extent> = Vec::new();
    let (mut end, mut sum) = (0_u64, 0_u64);
    for piece in map {
        let stop = piece.offset.checked_add(piece.length);
        let Some(stop) = stop.filter(|stop| piece.offset >= end && *stop <= size) else {
            return Err("a sparse map out of order or beyond its file".to_owned());
        };
        end = stop;
        if piece.length == 0 {
            continue;
        }
        if sum % BLOCK as u64 != 0 {
            return Err("a sparse map with pieces that do not fill their blocks".to_owned());
        }
        sum += piece.length;
        match checked.last_mut() {
            Some(last) if last.offset + last.length == piece.offset => last.length += piece.length,
            _ => checked.push(piece),
        }
    }
    if sum != archived {
        return Err(format!(
            "a sparse map of {sum} bytes for {archived} bytes of data"
        ));
    }
    Ok(if sum == size { None } else { Some(checked) })
}

fn push(map: &mut Vec<Extent>, extent: Extent, most: usize) -> Result<(), String> {
    if map.len() >= most {
        return Err(too_many(most));
    }
    map.push(extent);
    Ok(())
}

fn too_many(most: usize) -> String {
    format!("a sparse map of more than {most} pieces: the limit")
}

/// A 64-bit number has 20.
const DIGITS: usize = 20;
