//! Images are read again, by somebody who trusts nothing in them.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::format::{BLOCK, DEVICE, DEVICE_AT, PAGE, Super, u32_at};
use super::inode::Type;
use super::input::{Input, malformed};
use super::lookup::Lookup;
use super::walk::{Folder, Seen, Walk};
use crate::archive::{Limits, Time};
use crate::error::{Error, Kind, Result};
use crate::fsimg::Uuid;
use crate::tree::{Grower, NodeId, Tree};

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
pub(super) struct Part {
    pub(super) file: Arc<File>,
    /// Bytes before it in that file.
    pub(super) begin: u64,
    pub(super) blocks: u32,
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
    pub fn uuid(&self) -> Uuid {
        Uuid::from_bytes(self.superblock.uuid)
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
            lookup: Lookup {
                superblock: &self.superblock,
                devices: &self.devices,
                input: Input::new(self.file.clone(), self.superblock.blocks),
                extents: self.limits.extents,
            },
            seen: HashMap::new(),
            limits: self.limits,
        };
        let root = self.superblock.root.into();
        let inode = walk.lookup.inode(root)?;
        if inode.kind != Type::Folder {
            return Err(malformed("its root is no directory"));
        }
        let files = std::iter::once(&self.file).chain(self.devices.iter().map(|it| &it.file));
        let dress = walk.lookup.dress(root, &inode)?;
        let mut grower = Grower::of_files(files.cloned(), self.limits);
        grower.dress_root(&dress);
        walk.seen.insert(root, Seen::of(NodeId::ROOT, &inode));
        let mut next = vec![Folder {
            id: NodeId::ROOT,
            nid: root,
            above: root,
            depth: 0,
        }];
        while let Some(folder) = next.pop() {
            walk.list(&folder, &mut grower, &mut next)?;
        }
        if walk.seen.len() as u64 != self.superblock.inodes {
            return Err(malformed("it has another number of inodes than it says"));
        }
        if walk.seen.values().any(|it| it.links != it.names) {
            return Err(malformed(
                "something has another number of names than it says",
            ));
        }
        Ok(grower.finish())
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

const SHORT: &str = "it is shorter than it says";
