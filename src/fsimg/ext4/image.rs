//! The parts of an image that is read: superblock, groups, inodes, blocks. Nothing in it is
//! believed: every number is held against the size of the image, every checksum against its bytes.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::extent::{DEEPEST, Node, Span};
use super::format::{
    DESCRIPTOR, Seed, flag, get16, get32, incompat, kind, low32, put16, put32, ro_compat,
};
use super::inode::Clock as _;
use super::superblock::MAGIC;
use super::xattr::{self, Where};
use crate::archive::Time;
use crate::error::{Error, Kind, Result};
use crate::fsimg::Uuid;
use crate::fsimg::crc32c::crc32c;
use crate::tree::XattrSet;

/// An image whose superblock makes sense.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) file: Arc<File>,
    /// Bytes of a block.
    pub(super) block: usize,
    pub(super) blocks: u64,
    pub(super) inodes: u32,
    /// `None`: metadata has no checksums.
    pub(super) seed: Option<Seed>,
    pub(super) uuid: Uuid,
    pub(super) label: Vec<u8>,
    first_block: u64,
    per_group: u32,
    inode_size: usize,
    descriptor: usize,
    /// Inode tables of groups that were needed.
    tables: BTreeMap<u32, u64>,
    /// Blocks of directories and of trees of extents: none has two places.
    used: HashSet<u64>,
    /// Extents of one file, at most.
    extents: usize,
}

/// An inode, as it is read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) number: u32,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) links: u16,
    pub(super) flags: u32,
    pub(super) body: [u8; 60],
    pub(super) time: Time,
    generation: u32,
    attributes: u64,
    inline: Vec<u8>,
}

impl Found {
    /// The type bits of its mode.
    pub(super) fn kind(&self) -> u16 {
        self.mode & 0xf000
    }

    pub(super) fn refuse<T>(&self, why: &str) -> Result<T> {
        refuse(&format!("inode {}: {why}", self.number))
    }
}

impl Image {
    pub(super) fn open(file: Arc<File>, extents: usize) -> Result<Self> {
        let cannot = |error| Error::new(Kind::Local, "cannot read the image").with_source(error);
        let length = file.metadata().map_err(cannot)?.len();
        let mut bytes = [0; 1024];
        if length < 2048 {
            return refuse("too short for a superblock");
        }
        file.read_exact_at(&mut bytes, 1024).map_err(cannot)?;
        if get16(&bytes, 0x38) != MAGIC {
            return refuse("no superblock");
        }
        let long = |at| get32(&bytes, at);
        let (wanted, read_only) = (long(0x60), long(0x64));
        let has_sums = read_only & ro_compat::METADATA_CSUM != 0;
        if has_sums && (bytes[0x175] != 1 || crc32c(!0, &bytes[..0x3fc]) != long(0x3fc)) {
            return refuse("the checksum of the superblock is wrong");
        }
        for (bits, known) in [(wanted, WANTED), (read_only, READ_ONLY)] {
            if bits & !known != 0 {
                return refuse(&format!(
                    "features that are not known: {:#x}",
                    bits & !known
                ));
            }
        }
        if wanted & NEEDED != NEEDED || long(0x4c) != 1 || get16(&bytes, 0x3a) != 1 {
            return refuse("not of this kind, or not clean");
        }
        let is_64 = wanted & incompat::BITS64 != 0;
        let high = if is_64 { long(0x150) } else { 0 };
        let blocks = u64::from(high) << 32 | u64::from(long(0x04));
        let (shift, per_group, group_blocks) = (long(0x18), long(0x28), long(0x20));
        let descriptor = if is_64 {
            get16(&bytes, 0xfe).into()
        } else {
            32
        };
        let inode_size = usize::from(get16(&bytes, 0x58));
        if shift > 5 || long(0x1c) != shift {
            return refuse("blocks of another size");
        }
        let block = 1024_usize << shift;
        let first_block = u64::from(long(0x14));
        let bits = low32(block as u64 * 8);
        let count = u64::from(group_blocks.max(1));
        let groups = blocks.saturating_sub(first_block).div_ceil(count);
        let sane = blocks > first_block
            && blocks <= length / block as u64
            && first_block == u64::from(shift == 0)
            && (1..=bits).contains(&per_group)
            && (8..=bits).contains(&group_blocks)
            && u64::from(per_group).checked_mul(groups) == Some(long(0x00).into())
            && (128..=block).contains(&inode_size)
            && inode_size.is_power_of_two()
            && (!is_64 || (DESCRIPTOR..=1024).contains(&descriptor));
        if !sane {
            return refuse("numbers in the superblock that contradict each other or the length");
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[0x68..0x78]);
        let seed = if wanted & incompat::CSUM_SEED == 0 {
            Seed::of(&uuid)
        } else {
            Seed(long(0x270))
        };
        let label = bytes[0x78..0x88].split(|byte| *byte == 0).next();
        Ok(Self {
            file,
            block,
            blocks,
            inodes: long(0x00),
            seed: has_sums.then_some(seed),
            uuid: Uuid::from_bytes(uuid),
            label: label.unwrap_or_default().to_vec(),
            first_block,
            per_group,
            inode_size,
            descriptor,
            tables: BTreeMap::new(),
            used: HashSet::new(),
            extents,
        })
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(bytes, at)
            .map_err(|error| Error::new(Kind::Local, "cannot read the image").with_source(error))
    }

    pub(super) fn read_block(&self, number: u64) -> Result<Vec<u8>> {
        self.check(number, 1)?;
        let mut bytes = vec![0; self.block];
        self.read(number * self.block as u64, &mut bytes)?;
        Ok(bytes)
    }

    /// The same for a block that can be of one thing only.
    pub(super) fn read_own(&mut self, number: u64) -> Result<Vec<u8>> {
        if !self.used.insert(number) {
            return refuse(&format!("block {number} is used twice"));
        }
        self.read_block(number)
    }

    fn check(&self, number: u64, count: u64) -> Result<()> {
        let end = number.checked_add(count);
        if number <= self.first_block || end.is_none_or(|end| end > self.blocks) {
            return refuse(&format!("block {number} is outside"));
        }
        Ok(())
    }

    /// Where the inodes of a group are.
    fn table(&mut self, group: u32) -> Result<u64> {
        if let Some(table) = self.tables.get(&group) {
            return Ok(*table);
        }
        let at = (self.first_block + 1) * self.block as u64;
        let mut bytes = vec![0; self.descriptor];
        self.read(at + u64::from(group) * self.descriptor as u64, &mut bytes)?;
        if let Some(seed) = self.seed {
            let sum = get16(&bytes, 0x1e);
            put16(&mut bytes, 0x1e, 0);
            let actual = seed.and(&group.to_le_bytes()).sum(&bytes);
            if sum != super::format::low16(actual.into()) {
                return refuse(&format!("the checksum of group {group} is wrong"));
            }
        }
        let table = u64::from(get32(&bytes, 0x28)) << 32 | u64::from(get32(&bytes, 0x08));
        let bytes = u64::from(self.per_group) * self.inode_size as u64;
        self.check(table, bytes.div_ceil(self.block as u64))?;
        self.tables.insert(group, table);
        Ok(table)
    }

    /// Reads an inode that is used.
    pub(super) fn inode(&mut self, number: u32) -> Result<Found> {
        if number == 0 || number > self.inodes {
            return refuse(&format!("there is no inode {number}"));
        }
        let (group, nth) = ((number - 1) / self.per_group, (number - 1) % self.per_group);
        let table = self.table(group)?;
        let mut bytes = vec![0; self.inode_size];
        let at = table * self.block as u64 + u64::from(nth) * self.inode_size as u64;
        self.read(at, &mut bytes)?;
        let generation = get32(&bytes, 0x64);
        let extra = if self.inode_size > 128 {
            usize::from(get16(&bytes, 0x80))
        } else {
            0
        };
        if 128 + extra > self.inode_size || !extra.is_multiple_of(4) {
            return refuse(&format!("inode {number}: fields of a size that cannot be"));
        }
        if let Some(seed) = self.seed {
            let long = extra >= 4;
            let high = if long { get16(&bytes, 0x82) } else { 0 };
            let sum = u32::from(high) << 16 | u32::from(get16(&bytes, 0x7c));
            put16(&mut bytes, 0x7c, 0);
            if long {
                put16(&mut bytes, 0x82, 0);
            }
            let actual = seed.inode(number, generation).sum(&bytes);
            let actual = if long { actual } else { actual & 0xffff };
            if sum != actual {
                return refuse(&format!("inode {number}: its checksum is wrong"));
            }
        }
        let more = if extra >= 12 { get32(&bytes, 0x88) } else { 0 };
        let time = Time::decode(get32(&bytes, 0x10), more);
        let wide = |low, high| u32::from(get16(&bytes, high)) << 16 | u32::from(get16(&bytes, low));
        let mut body = [0; 60];
        body.copy_from_slice(&bytes[0x28..0x64]);
        let found = Found {
            number,
            mode: get16(&bytes, 0),
            uid: wide(0x02, 0x78),
            gid: wide(0x18, 0x7a),
            size: u64::from(get32(&bytes, 0x6c)) << 32 | u64::from(get32(&bytes, 0x04)),
            links: get16(&bytes, 0x1a),
            flags: get32(&bytes, 0x20),
            body,
            time: time.unwrap_or_default(),
            generation,
            attributes: u64::from(get16(&bytes, 0x76)) << 32 | u64::from(get32(&bytes, 0x68)),
            inline: bytes.split_off(128 + extra),
        };
        let unknown = flag::ENCRYPT | flag::EA_INODE | flag::INLINE_DATA;
        if found.flags & unknown != 0 || time.is_none() || found.links == 0 {
            return found.refuse("removed, or in a way that is not known");
        }
        Ok(found)
    }

    /// The seed of what belongs to an inode, if there are checksums.
    pub(super) fn own_seed(&self, inode: &Found) -> Option<Seed> {
        let seed = self.seed?;
        Some(seed.inode(inode.number, inode.generation))
    }

    /// Where the content of an inode is: extents, ascending; those that are not written are left
    /// out.
    pub(super) fn spans(&mut self, inode: &Found) -> Result<Vec<Span>> {
        if inode.flags & flag::EXTENTS == 0 {
            if inode.size == 0 {
                return Ok(Vec::new());
            }
            return inode.refuse("its blocks are in the maps of ext3, which are not read");
        }
        let Some(root) = Node::parse(&inode.body).filter(|root| root.depth <= DEEPEST) else {
            return inode.refuse("its extents are none");
        };
        let mut walk = Walk {
            found: Vec::new(),
            end: 0,
        };
        self.branch(inode, &root, &mut walk)?;
        Ok(walk.found)
    }

    fn branch(&mut self, inode: &Found, node: &Node<'_>, walk: &mut Walk) -> Result<()> {
        if node.depth == 0 {
            for (span, written) in node.spans() {
                let sane = span.length > 0 && u64::from(span.logical) >= walk.end;
                if !sane || walk.found.len() >= self.extents {
                    return inode.refuse("extents out of order, or too many");
                }
                walk.end = u64::from(span.logical) + u64::from(span.length);
                self.check(span.physical, span.length.into())?;
                if written {
                    walk.found.push(span);
                }
            }
            return Ok(());
        }
        for (first, at) in node.below() {
            if u64::from(first) < walk.end {
                return inode.refuse("extents out of order");
            }
            walk.end = first.into();
            let bytes = self.read_own(at)?;
            let below = Node::parse(&bytes).filter(|below| below.depth + 1 == node.depth);
            let Some(below) = below else {
                return inode.refuse("a node of its extents is none");
            };
            if let Some(seed) = self.own_seed(inode) {
                let tail = Node::tail(&bytes);
                if bytes.len() < tail + 4 || seed.sum(&bytes[..tail]) != get32(&bytes, tail) {
                    return inode.refuse("the checksum of its extents is wrong");
                }
            }
            self.branch(inode, &below, walk)?;
        }
        Ok(())
    }

    /// All attributes of an inode.
    pub(super) fn xattrs(&self, inode: &Found) -> Result<XattrSet> {
        let mut found = XattrSet::new();
        let mut good = xattr::read(&inode.inline, Where::Inline, &mut found).is_some();
        if inode.attributes != 0 {
            let mut block = self.read_block(inode.attributes)?;
            if let Some(seed) = self.seed {
                let sum = get32(&block, 16);
                put32(&mut block, 16, 0);
                good &= seed.and(&inode.attributes.to_le_bytes()).sum(&block) == sum;
            }
            good &= xattr::read(&block, Where::Block, &mut found).is_some();
        }
        if good {
            Ok(found)
        } else {
            inode.refuse("its extended attributes are none, or their checksum is wrong")
        }
    }

    /// The text of a symbolic link.
    pub(super) fn text(&mut self, inode: &Found) -> Result<Vec<u8>> {
        let length = usize::try_from(inode.size).unwrap_or(usize::MAX);
        let mut text = if inode.flags & flag::EXTENTS == 0 {
            inode.body.to_vec()
        } else {
            match self.spans(inode)?[..] {
                [
                    Span {
                        logical: 0,
                        physical,
                        ..
                    },
                ] => self.read_block(physical)?,
                _ => Vec::new(),
            }
        };
        if length == 0 || length >= text.len() {
            return inode.refuse("the text of a link is none");
        }
        text.truncate(length);
        Ok(text)
    }

    /// The type of a thing in a directory, by its mode.
    pub(super) fn kind_in_folder(mode: u16) -> Option<u8> {
        KINDS.iter().find(|(bits, _)| *bits == mode).map(|it| it.1)
    }
}

struct Walk {
    found: Vec<Span>,
    /// Where the next one may begin.
    end: u64,
}

pub(super) fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::new(
        Kind::Format,
        format!("no ext4 image that can be read: {why}"),
    ))
}

const KINDS: [(u16, u8); 7] = [
    kind::FIFO,
    kind::CHARACTER,
    kind::FOLDER,
    kind::BLOCK,
    kind::FILE,
    kind::SYMLINK,
    kind::SOCKET,
];

/// What we can read. A journal that was not played back is not among them.
const WANTED: u32 =
    NEEDED | incompat::BITS64 | incompat::FLEX_BG | incompat::CSUM_SEED | incompat::LARGEDIR;

const NEEDED: u32 = incompat::FILETYPE | incompat::EXTENTS;

const READ_ONLY: u32 = ro_compat::SPARSE_SUPER
    | ro_compat::LARGE_FILE
    | ro_compat::HUGE_FILE
    | ro_compat::GDT_CSUM
    | ro_compat::DIR_NLINK
    | ro_compat::EXTRA_ISIZE
    | ro_compat::QUOTA
    | ro_compat::METADATA_CSUM
    | ro_compat::PROJECT;
