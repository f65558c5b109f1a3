//! Images are read again, by somebody who trusts nothing in them.
#![allow(clippy::cast_possible_truncation)] // lengths of blocks and links, which were looked at

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::dir;
use super::format::{
    BLOCK, BLOCK_BITS, COMPACT, DEVICE, DEVICE_AT, EXTENDED, INDEX, Inode, Layout, NOWHERE, PAGE,
    SLOT, Super, TEXT, Type, device_of, u16_at, u32_at,
};
use super::input::{Input, malformed};
use super::plan::index_start;
use super::xattr;
use crate::archive::{Device, Extent, Limits, Time};
use crate::error::{Error, Kind, Result};
use crate::tree::{Assembly, Content, Metadata, NodeId, Thing, Tree};

/// An EROFS image that this program has written.
#[derive(Debug)]
pub struct Reader {
    file: Arc<File>,
    superblock: Super,
    devices: Vec<Part>,
    limits: Limits,
}

/// A further device.
#[derive(Clone, Debug)]
struct Part {
    file: Arc<File>,
    /// Bytes before it in that file.
    begin: u64,
    blocks: u32,
}

impl Reader {
    /// Opens an image. Of an image that points at others these are its devices, in their order;
    /// without them they must follow it in the same file.
    ///
    /// # Errors
    /// [`Kind::Format`] if it is none that we have written, or the devices are not its own;
    /// [`Kind::Local`] if it cannot be read.
    pub fn open(file: File, devices: Vec<File>, limits: Limits) -> Result<Self> {
        let file = Arc::new(file);
        let length = length(&file)?;
        let first = Input::new(file.clone(), 1).read(0, PAGE)?.to_vec();
        let first = <&[u8; PAGE]>::try_from(first.as_slice()).map_err(|_| malformed(SHORT))?;
        let superblock = Super::open(first).map_err(malformed)?;
        let blocks = superblock.blocks;
        if u64::from(blocks) * BLOCK > length {
            return Err(malformed(SHORT));
        }
        let table = DEVICE_AT + DEVICE * usize::from(superblock.devices);
        let meta = (table as u64).div_ceil(BLOCK);
        if u64::from(superblock.meta_block) != meta
            || superblock.meta_block >= blocks
            || superblock.xattr_block >= blocks
            || (1..superblock.meta_block).contains(&superblock.xattr_block)
        {
            return Err(malformed("its parts are not where they should be"));
        }
        let mut input = Input::new(file.clone(), blocks);
        let slots = input.read(DEVICE_AT as u64, table - DEVICE_AT)?;
        let parts = parts(&file, length, &superblock, slots, devices)?;
        Ok(Self {
            file,
            superblock,
            devices: parts,
            limits,
        })
    }

    /// The name of the volume.
    pub fn volume(&self) -> String {
        let name = self.superblock.volume.split(|&byte| byte == 0).next();
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }

    /// Its UUID.
    pub fn uuid(&self) -> [u8; 16] {
        self.superblock.uuid
    }

    /// The time in the superblock.
    pub fn epoch(&self) -> Time {
        self.superblock.epoch
    }

    /// Bytes of the image, without those of other devices.
    pub fn bytes(&self) -> u64 {
        u64::from(self.superblock.blocks) * BLOCK
    }

    /// The tree in the image. Contents stay where they are.
    ///
    /// # Errors
    /// [`Kind::Format`] if anything in it is not as we would have written it, or passes a limit;
    /// [`Kind::Local`] if it cannot be read.
    pub fn tree(&self) -> Result<Tree> {
        let mut walk = Walk {
            reader: self,
            input: Input::new(self.file.clone(), self.superblock.blocks),
            seen: HashMap::new(),
        };
        let root = self.superblock.root.into();
        let inode = walk.inode(root)?;
        if inode.kind != Type::Folder {
            return Err(malformed("its root is no directory"));
        }
        let files = std::iter::once(&self.file).chain(self.devices.iter().map(|it| &it.file));
        let metadata = walk.metadata(root, &inode)?;
        let mut assembly = Assembly::new(files.cloned(), metadata, self.limits);
        walk.seen.insert(root, Seen::of(NodeId::ROOT, &inode));
        let mut next = vec![Folder {
            id: NodeId::ROOT,
            nid: root,
            above: root,
            depth: 0,
        }];
        while let Some(folder) = next.pop() {
            walk.list(&folder, &mut assembly, &mut next)?;
        }
        if walk.seen.len() as u64 != self.superblock.inodes {
            return Err(malformed("it has another number of inodes than it says"));
        }
        if walk.seen.values().any(|it| it.links != it.names) {
            return Err(malformed(
                "something has another number of names than it says",
            ));
        }
        Ok(assembly.finish())
    }
}

/// The further devices of an image.
fn parts(
    file: &Arc<File>,
    whole: u64,
    superblock: &Super,
    table: &[u8],
    devices: Vec<File>,
) -> Result<Vec<Part>> {
    let given = devices.len();
    if given > 0 && given != usize::from(superblock.devices) {
        return Err(malformed(&format!(
            "it has {} devices, and {given} are given",
            superblock.devices
        )));
    }
    let mut devices = devices.into_iter();
    let mut mapped = u64::from(superblock.blocks);
    let mut parts = Vec::new();
    for slot in table.chunks_exact(DEVICE) {
        let blocks = u32_at(slot, 0x40);
        let rest = slot[..0x40].iter().chain(&slot[0x48..]);
        if u64::from(u32_at(slot, 0x44)) != mapped || rest.copied().any(|byte| byte != 0) {
            return Err(malformed("its device table is none that we would write"));
        }
        let begin = mapped * BLOCK;
        mapped += u64::from(blocks);
        let part = match devices.next() {
            Some(device) if length(&device)? != u64::from(blocks) * BLOCK => {
                return Err(malformed("a device has another size than it says"));
            }
            Some(device) => Part {
                file: Arc::new(device),
                begin: 0,
                blocks,
            },
            None if mapped * BLOCK > whole => {
                return Err(malformed("its devices are neither given nor behind it"));
            }
            None => Part {
                file: file.clone(),
                begin,
                blocks,
            },
        };
        parts.push(part);
    }
    Ok(parts)
}

fn length(file: &File) -> Result<u64> {
    let meta = file.metadata();
    let meta = meta
        .map_err(|error| Error::new(Kind::Local, "cannot look at the image").with_source(error))?;
    Ok(meta.len())
}

/// A directory to be listed.
struct Folder {
    id: NodeId,
    nid: u64,
    above: u64,
    depth: usize,
}

/// An inode that has come up.
struct Seen {
    id: NodeId,
    kind: Type,
    links: u32,
    names: u32,
}

impl Seen {
    fn of(id: NodeId, inode: &Inode) -> Self {
        Self {
            id,
            kind: inode.kind,
            links: inode.links,
            // Of a directory: its own name, and `.` in itself.
            names: if inode.kind == Type::Folder { 2 } else { 1 },
        }
    }
}

struct Walk<'a> {
    reader: &'a Reader,
    input: Input,
    seen: HashMap<u64, Seen>,
}

impl Walk<'_> {
    fn list(
        &mut self,
        folder: &Folder,
        assembly: &mut Assembly,
        next: &mut Vec<Folder>,
    ) -> Result<()> {
        if folder.depth > self.reader.limits.depth {
            let message = format!(
                "deeper than the limit `depth` of {}",
                self.reader.limits.depth
            );
            return Err(malformed(&message));
        }
        let inode = self.inode(folder.nid)?;
        let size = inode.size;
        let blocks = size.div_ceil(BLOCK);
        let (mut last, mut dots) = (Vec::new(), 0);
        let mut begun = false;
        for at in 0..blocks {
            let length = (size - at * BLOCK).min(BLOCK);
            let from = self.block_of(folder.nid, &inode, at, length)?;
            let block = self.input.read(from, length as usize)?.to_vec();
            for entry in dir::read(&block, at + 1 == blocks).map_err(malformed)? {
                if begun && entry.name <= last.as_slice() {
                    return Err(malformed("names that are not in their order"));
                }
                begun = true;
                last.clear();
                last.extend_from_slice(entry.name);
                let home = match entry.name {
                    b"." => Some(folder.nid),
                    b".." => Some(folder.above),
                    _ => None,
                };
                if let Some(home) = home {
                    dots += 1;
                    if entry.nid != home || entry.kind != Type::Folder as u8 {
                        return Err(malformed("a directory that is not where it says"));
                    }
                    continue;
                }
                self.entry(folder, &entry, assembly, next)?;
            }
        }
        if dots != 2 {
            return Err(malformed("a directory without `.` and `..`"));
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &Folder,
        entry: &dir::Entry<'_>,
        assembly: &mut Assembly,
        next: &mut Vec<Folder>,
    ) -> Result<()> {
        if entry.name.len() > super::format::NAME {
            return Err(malformed("a name of more than 255 bytes"));
        }
        if let Some(seen) = self.seen.get_mut(&entry.nid) {
            if seen.kind == Type::Folder || entry.kind != seen.kind as u8 {
                return Err(malformed(
                    "a directory with two names, or a name of another type",
                ));
            }
            seen.names = seen.names.saturating_add(1);
            return assembly.link(folder.id, entry.name, seen.id);
        }
        let inode = self.inode(entry.nid)?;
        if entry.kind != inode.kind as u8 {
            return Err(malformed("a name of another type"));
        }
        let metadata = self.metadata(entry.nid, &inode)?;
        let mut content = Content::default();
        let (text, extents);
        let (major, minor) = device_of(inode.value);
        let device = Device { major, minor };
        let thing = match inode.kind {
            Type::Folder => Thing::Folder,
            Type::File => {
                (content.file, content.offset, extents) = self.content(entry.nid, &inode)?;
                content.extents = extents.as_deref();
                Thing::File { size: inode.size }
            }
            Type::Symlink => {
                if inode.size > TEXT as u64 {
                    return Err(malformed("a link longer than any"));
                }
                let from = self.block_of(entry.nid, &inode, 0, inode.size)?;
                text = self.input.read(from, inode.size as usize)?.to_vec();
                Thing::Symlink(&text)
            }
            Type::Character => Thing::Character(device),
            Type::Block => Thing::Block(device),
            Type::Fifo => Thing::Fifo,
            Type::Socket => Thing::Socket,
        };
        let id = assembly.add(folder.id, entry.name, thing, metadata, content)?;
        self.seen.insert(entry.nid, Seen::of(id, &inode));
        if inode.kind == Type::Folder {
            if let Some(above) = self.seen.get_mut(&folder.nid) {
                above.names = above.names.saturating_add(1);
            }
            next.push(Folder {
                id,
                nid: entry.nid,
                above: folder.nid,
                depth: folder.depth + 1,
            });
        }
        Ok(())
    }

    /// Where an inode is.
    fn offset(&self, nid: u64) -> Result<u64> {
        let begin = u64::from(self.reader.superblock.meta_block) * BLOCK;
        let at = nid.checked_mul(SLOT).and_then(|at| at.checked_add(begin));
        at.filter(|at| self.input.has(*at, COMPACT))
            .ok_or_else(|| malformed("an inode that is not in it"))
    }

    fn inode(&mut self, nid: u64) -> Result<Inode> {
        let at = self.offset(nid)?;
        let extended = u16_at(self.input.read(at, COMPACT as usize)?, 0) & 1 == 1;
        let length = if extended { EXTENDED } else { COMPACT };
        let inode = Inode::read(self.input.read(at, length as usize)?).map_err(malformed)?;
        let wrong = |why| Err(malformed(why));
        if inode.links == 0 || inode.size > i64::MAX.cast_unsigned() {
            return wrong("an inode with a size or a number of names that cannot be");
        }
        match inode.kind {
            Type::File => {}
            Type::Folder | Type::Symlink => {
                let chunks = matches!(inode.layout, Layout::Chunks(_));
                if chunks || inode.size == 0 || !self.input.has(0, inode.size) {
                    return wrong("a directory or a link with a content that cannot be");
                }
            }
            _ => {
                let device = matches!(inode.kind, Type::Character | Type::Block);
                if inode.layout != Layout::Plain || inode.size != 0 || !device && inode.value != 0 {
                    return wrong("a device, pipe or socket with a content");
                }
            }
        }
        if inode.kind == Type::Symlink && inode.mode != 0o777 {
            return wrong("a link with a mode of its own");
        }
        Ok(inode)
    }

    /// Where what is behind an inode and its attributes begins.
    fn behind(&self, nid: u64, inode: &Inode) -> Result<u64> {
        let length = if inode.mtime.is_some() {
            EXTENDED
        } else {
            COMPACT
        };
        let end = self.offset(nid)? + length + u64::from(inode.xattrs);
        if !self.input.has(0, end) {
            return Err(malformed("an inode that is not in it"));
        }
        Ok(end)
    }

    fn metadata(&mut self, nid: u64, inode: &Inode) -> Result<Metadata> {
        let end = self.behind(nid, inode)?;
        let length = inode.xattrs as usize;
        let body = self.input.read(end - length as u64, length)?.to_vec();
        let input = &mut self.input;
        let mut shared = |at, length| Ok(input.read(at, length)?.to_vec());
        let block = self.reader.superblock.xattr_block;
        let xattrs = xattr::read(&body, block, &mut shared)?.map_err(malformed)?;
        Ok(Metadata {
            mode: inode.mode.into(),
            uid: inode.uid.into(),
            gid: inode.gid.into(),
            mtime: inode.mtime.unwrap_or(self.reader.superblock.epoch),
            xattrs,
        })
    }

    /// Where a block of a directory is, or the text of a link.
    fn block_of(&mut self, nid: u64, inode: &Inode, at: u64, length: u64) -> Result<u64> {
        let whole = inode.size / BLOCK;
        if inode.layout == Layout::Inline && at == whole {
            let behind = self.behind(nid, inode)?;
            if behind % BLOCK + length > BLOCK {
                return Err(malformed("an end of a content in two blocks"));
            }
            return Ok(behind);
        }
        let blocks = if inode.layout == Layout::Inline {
            whole * BLOCK
        } else {
            inode.size
        };
        let none = inode.value < self.reader.superblock.meta_block;
        if none || !self.input.has(u64::from(inode.value) * BLOCK, blocks) {
            return Err(malformed("a content that is not in it"));
        }
        Ok((u64::from(inode.value) + at) * BLOCK)
    }

    /// Where the content of a file is: the number of its device, the offset there, and where its
    /// data is in it if it has holes.
    fn content(&mut self, nid: u64, inode: &Inode) -> Result<(usize, u64, Option<Vec<Extent>>)> {
        let size = inode.size;
        match inode.layout {
            _ if size == 0 => {
                if inode.layout != Layout::Plain || inode.value != NOWHERE {
                    return Err(malformed("an empty file with a content"));
                }
                Ok((0, 0, None))
            }
            Layout::Plain => Ok((0, self.block_of(nid, inode, 0, size)?, None)),
            Layout::Inline => {
                if size >= BLOCK || inode.value != NOWHERE {
                    return Err(malformed("a large file that is cut in two"));
                }
                Ok((0, self.block_of(nid, inode, 0, size)?, None))
            }
            Layout::Chunks(bits) => self.chunks(nid, inode, bits),
        }
    }

    fn chunks(
        &mut self,
        nid: u64,
        inode: &Inode,
        bits: u8,
    ) -> Result<(usize, u64, Option<Vec<Extent>>)> {
        let size = inode.size;
        let begin = index_start(self.behind(nid, inode)?);
        let count = size.div_ceil(1 << bits);
        let length = count.checked_mul(INDEX);
        if !length.is_some_and(|length| self.input.has(begin, length)) {
            return Err(malformed(
                "a file with chunks that nothing says where they are",
            ));
        }
        let mut extents: Vec<Extent> = Vec::new();
        // Device, and block of the first chunk; blocks that the data has so far.
        let mut start: Option<(u16, u32)> = None;
        let mut data = 0_u64;
        for at in 0..count {
            let index = self.input.read(begin + at * INDEX, INDEX as usize)?;
            let (device, block) = (u16_at(index, 2), u32_at(index, 4));
            if u16_at(index, 0) != 0 || block == NOWHERE && device != 0 {
                return Err(malformed("a chunk of an unknown kind"));
            }
            if block == NOWHERE {
                continue;
            }
            let (first_device, first) = *start.get_or_insert((device, block));
            let expect = u64::from(first) + (data >> BLOCK_BITS);
            if device != first_device || u64::from(block) != expect {
                return Err(malformed("chunks of a file that do not follow each other"));
            }
            let offset = at << bits;
            let length = (size - offset).min(1 << bits);
            data += length;
            let most = self.reader.limits.extents;
            let full = extents.len() >= most;
            match extents.last_mut() {
                Some(last) if last.offset + last.length == offset => last.length += length,
                _ if full => {
                    let message = format!("more pieces than the limit `extents` of {most}");
                    return Err(malformed(&message));
                }
                _ => extents.push(Extent { offset, length }),
            }
        }
        let Some((device, block)) = start else {
            return Ok((0, 0, Some(extents)));
        };
        let (from, blocks, least) = match device.checked_sub(1) {
            None => (
                0,
                self.reader.superblock.blocks,
                self.reader.superblock.meta_block,
            ),
            Some(at) => {
                let part = self.reader.devices.get(usize::from(at));
                let part =
                    part.ok_or_else(|| malformed("a chunk on a device that is not there"))?;
                (part.begin, part.blocks, 1)
            }
        };
        let offset = u64::from(block) * BLOCK;
        if block < least || offset + data > u64::from(blocks) * BLOCK {
            return Err(malformed("a chunk that is not on its device"));
        }
        let whole = extents.len() == 1 && extents[0].length == size;
        Ok((device.into(), from + offset, (!whole).then_some(extents)))
    }
}

const SHORT: &str = "it is shorter than it says";
