//! Extended attributes: in the inode as far as they fit, the rest in one block.
//!
//! Sources: Linux, `Documentation/filesystems/ext4/attributes.rst`, `fs/ext4/xattr.c` for the
//! hashes, `fs/ext4/acl.h` for what access control lists look like on disk.

use super::format::{BLOCK, get16, get32, put16, put32};
use crate::tree::XattrSet;

/// The attributes of one set, as they lie on disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    /// What follows the fields of the inode; empty if there is nothing.
    pub(super) inline: Vec<u8>,
    /// Without its number of users and its checksum.
    pub(super) block: Option<Box<[u8]>>,
    /// Attributes of name spaces that the format has no number for: views of other file systems.
    pub(super) left_out: Vec<Vec<u8>>,
}

impl Packed {
    /// Packs a set; `room` bytes are left in the inode.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn new(set: &XattrSet, room: usize) -> Result<Self, String> {
        let mut packed = Self::default();
        let mut all = Vec::new();
        for (name, value) in set {
            match split(name) {
                None => packed.left_out.push(name.clone()),
                Some((index, rest)) => {
                    let value = match index {
                        ACCESS | DEFAULT => acl_to_disk(value)
                            .ok_or_else(|| format!("{} is no ACL", name.escape_ascii()))?,
                        _ => value.clone(),
                    };
                    let length = u8::try_from(rest.len())
                        .map_err(|_| format!("{} is too long a name", name.escape_ascii()))?;
                    all.push((index, length, rest, value));
                }
            }
        }
        // The order in which the kernel looks for them.
        all.sort();
        let all = all
            .into_iter()
            .map(|(index, _, name, value)| Attribute { index, name, value });
        let (mut inline, mut outside) = (Vec::new(), Vec::new());
        let mut left = room.saturating_sub(HEADER_INLINE + END);
        for attribute in all {
            match left.checked_sub(attribute.size()) {
                Some(rest) => {
                    left = rest;
                    inline.push(attribute);
                }
                None => outside.push(attribute),
            }
        }
        if !inline.is_empty() {
            packed.inline = vec![0; room];
            put32(&mut packed.inline, 0, MAGIC);
            write(
                &mut packed.inline,
                HEADER_INLINE,
                HEADER_INLINE,
                &inline,
                false,
            );
        }
        if !outside.is_empty() {
            let size = outside.iter().map(Attribute::size).sum::<usize>();
            if size > BLOCK - HEADER - END {
                return Err(format!(
                    "its extended attributes have {size} bytes more than fit into its inode; \
                     a block of them holds {}",
                    BLOCK - HEADER - END
                ));
            }
            let mut block = vec![0; BLOCK].into_boxed_slice();
            put32(&mut block, 0, MAGIC);
            put32(&mut block, 8, 1);
            let hash = write(&mut block, HEADER, 0, &outside, true);
            put32(&mut block, 12, hash);
            packed.block = Some(block);
        }
        Ok(packed)
    }
}

struct Attribute<'a> {
    index: u8,
    name: &'a [u8],
    value: Vec<u8>,
}

impl Attribute<'_> {
    fn size(&self) -> usize {
        ENTRY + self.name.len().next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }

    /// `e_hash`: of the name, then of the value with its padding.
    fn hash(&self) -> u32 {
        let mut hash = 0_u32;
        for byte in self.name {
            hash = hash.rotate_left(5) ^ u32::from(*byte);
        }
        for word in self.value.chunks(4) {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            hash = hash.rotate_left(16) ^ u32::from_le_bytes(bytes);
        }
        hash
    }
}

/// Entries from `first` on, values from the end; offsets count from `base`. Gives the hash of all.
fn write(bytes: &mut [u8], first: usize, base: usize, all: &[Attribute<'_>], hashed: bool) -> u32 {
    let (mut entry, mut end, mut sum) = (first, bytes.len(), 0_u32);
    let mut shared = true;
    for it in all {
        end -= it.value.len().next_multiple_of(4);
        bytes[entry] = u8::try_from(it.name.len()).unwrap_or(u8::MAX);
        bytes[entry + 1] = it.index;
        // Sizes and offsets are those of a block or less.
        let offset = if it.value.is_empty() { 0 } else { end - base };
        put16(bytes, entry + 2, u16::try_from(offset).unwrap_or(0));
        put32(bytes, entry + 8, u32::try_from(it.value.len()).unwrap_or(0));
        if hashed {
            let hash = it.hash();
            put32(bytes, entry + 12, hash);
            shared &= hash != 0;
            sum = sum.rotate_left(16) ^ hash;
        }
        bytes[entry + ENTRY..][..it.name.len()].copy_from_slice(it.name);
        bytes[end..][..it.value.len()].copy_from_slice(&it.value);
        entry += ENTRY + it.name.len().next_multiple_of(4);
    }
    if shared { sum } else { 0 }
}

/// The attributes in an inode's rest or in a block. `None` if they are not well-formed.
pub(super) fn read(bytes: &[u8], place: Where, found: &mut XattrSet) -> Option<()> {
    let (first, base) = match place {
        Where::Inline if get32(bytes, 0) != MAGIC => return Some(()),
        Where::Inline => (HEADER_INLINE, HEADER_INLINE),
        Where::Block if get32(bytes, 0) != MAGIC || get32(bytes, 8) != 1 => return None,
        Where::Block => (HEADER, 0),
    };
    let mut at = first;
    while get32(bytes, at) != 0 {
        let entry = bytes.get(at..at + ENTRY)?;
        let name = bytes.get(at + ENTRY..at + ENTRY + usize::from(entry[0]))?;
        let size = usize::try_from(get32(entry, 8)).ok()?;
        // Values in inodes of their own are a feature that we do not know.
        if get32(entry, 4) != 0 {
            return None;
        }
        let offset = base + usize::from(get16(entry, 2));
        let value = match size {
            0 => &[][..],
            _ => bytes.get(offset..offset.checked_add(size)?)?,
        };
        let (prefix, _) = PREFIXES.iter().find(|(_, index)| *index == entry[1])?;
        let value = match entry[1] {
            ACCESS | DEFAULT if name.is_empty() => acl_from_disk(value)?,
            ACCESS | DEFAULT => return None,
            _ if name.is_empty() || name.contains(&0) => return None,
            _ => value.to_vec(),
        };
        if found.insert([prefix, name].concat(), value).is_some() {
            return None;
        }
        at += ENTRY + name.len().next_multiple_of(4);
    }
    Some(())
}

/// Where attributes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Inline,
    Block,
}

/// The number of a name space, and the rest of the name.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    let found = PREFIXES.iter().find_map(|(prefix, index)| {
        let rest = name.strip_prefix(*prefix)?;
        let whole = matches!(*index, ACCESS | DEFAULT);
        (whole == rest.is_empty()).then_some((*index, rest))
    });
    // A name in `system.` of which we know nothing would be the kernel's own.
    found
}

/// From what the kernel shows to what it keeps: ids only where they mean something.
fn acl_to_disk(value: &[u8]) -> Option<Vec<u8>> {
    let (entries, rest) = value.get(4..)?.as_chunks::<8>();
    if get32(value, 0) != ACL_SHOWN || !rest.is_empty() {
        return None;
    }
    let mut disk = ACL_KEPT.to_le_bytes().to_vec();
    for entry in entries {
        match get16(entry, 0) {
            USER | GROUP => disk.extend_from_slice(entry),
            OWNER | OWNERS | MASK | OTHER => disk.extend_from_slice(&entry[..4]),
            _ => return None,
        }
    }
    Some(disk)
}

/// The other way.
fn acl_from_disk(value: &[u8]) -> Option<Vec<u8>> {
    if get32(value, 0) != ACL_KEPT {
        return None;
    }
    let mut left = value.get(4..)?;
    let mut shown = ACL_SHOWN.to_le_bytes().to_vec();
    while !left.is_empty() {
        let length = match get16(left, 0) {
            USER | GROUP => 8,
            OWNER | OWNERS | MASK | OTHER => 4,
            _ => return None,
        };
        let (entry, rest) = left.split_at_checked(length)?;
        shown.extend_from_slice(entry);
        if length == 4 {
            shown.extend_from_slice(&u32::MAX.to_le_bytes());
        }
        left = rest;
    }
    Some(shown)
}

/// How many inodes may share a block (`EXT4_XATTR_REFCOUNT_MAX`).
pub(super) const SHARERS: u32 = 1024;

const PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (b"system.posix_acl_access", ACCESS),
    (b"system.posix_acl_default", DEFAULT),
    (b"trusted.", 4),
    (b"security.", 6),
];

const ACCESS: u8 = 2;
const DEFAULT: u8 = 3;

const MAGIC: u32 = 0xea02_0000;

/// Bytes of an entry without its name.
const ENTRY: usize = 16;

/// Four zeros after the last entry.
const END: usize = 4;

/// Bytes before the first entry in a block, and in an inode.
const HEADER: usize = 32;
const HEADER_INLINE: usize = 4;

/// Versions of access control lists (`POSIX_ACL_XATTR_VERSION`, `EXT4_ACL_VERSION`).
const ACL_SHOWN: u32 = 2;
const ACL_KEPT: u32 = 1;

const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNERS: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
