//! The header of a sparse file: one sector, and at the end of a stream once more.

use super::super::source::{Source, le16, le32, le64, refuse};
use super::super::table::Areas;
use super::descriptor::{Content, Descriptor};
use crate::error::Result;

/// What the header says that matters to a reader. Offsets and lengths are in bytes.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) size: u64,
    pub(super) grain: u64,
    /// Where the first table is, and how many entries it has.
    pub(super) directory: (u64, u64),
    /// Where grains can begin.
    pub(super) data: u64,
    pub(super) is_compressed: bool,
    /// Whether an entry can say that a grain is zeros.
    pub(super) has_zeros: bool,
    /// Header, descriptor, and directories.
    pub(super) areas: Areas,
}

impl Header {
    /// Reads and judges it, and the descriptor that it points to.
    pub(super) fn read(source: &Source) -> Result<Self> {
        let (bytes, there) = source.start::<512>()?;
        if there < bytes.len() {
            return Err(refuse(format!("a header of {there} bytes is cut off")));
        }
        let fields = Fields::read(&bytes)?;
        let mut areas = Areas::default();
        areas.add(source, 0, SECTOR, "the header")?;
        let directory = match fields.directory {
            AT_END if fields.is_compressed => {
                let (directory, at) = fields.footer(source)?;
                areas.add(source, at, FOOTER as u64, "the footer")?;
                directory
            }
            directory => directory,
        };
        let grain = fields.grain * SECTOR;
        let size = fields.capacity * SECTOR;
        let entries = size.div_ceil(grain * ENTRIES);
        if entries > MAX_ENTRIES {
            return Err(refuse(format!("its grain directory has {entries} entries")));
        }
        let (offset, length) = fields.descriptor;
        let (descriptor, length) = (bytes_of(offset)?, bytes_of(length)?);
        if descriptor == 0 || length == 0 {
            return Err(refuse(
                "it has no descriptor: it is one extent of an image in several files, which is not \
                 supported",
            ));
        }
        areas.add(source, descriptor, length, "the descriptor")?;
        let directory = bytes_of(directory)?;
        areas.add(source, directory, entries * 4, "the grain directory")?;
        if let Some(spare) = fields.spare {
            let spare = bytes_of(spare)?;
            areas.add(source, spare, entries * 4, "the redundant grain directory")?;
        }
        let header = Self {
            size,
            grain,
            directory: (directory, entries),
            data: bytes_of(fields.data)?.max(SECTOR),
            is_compressed: fields.is_compressed,
            has_zeros: fields.has_zeros,
            areas,
        };
        header.check(&Descriptor::read(source, descriptor, length)?)?;
        Ok(header)
    }

    /// Whether the descriptor is about this file, and this file alone.
    fn check(&self, descriptor: &Descriptor) -> Result<()> {
        let kind = if self.is_compressed {
            "streamOptimized"
        } else {
            "monolithicSparse"
        };
        if descriptor.kind != kind {
            let found = &descriptor.kind;
            return Err(refuse(format!(
                "a file of kind {kind} with a descriptor of kind {found:?}"
            )));
        }
        match &descriptor.extents[..] {
            [line] if line.content == Content::Sparse && line.sectors * SECTOR == self.size => {
                Ok(())
            }
            _ => Err(refuse(
                "the extents of its descriptor are not the disk of its header",
            )),
        }
    }
}

/// The header as it stands: offsets and lengths in sectors.
#[derive(PartialEq)]
struct Fields {
    flags: u32,
    capacity: u64,
    grain: u64,
    descriptor: (u64, u64),
    spare: Option<u64>,
    directory: u64,
    data: u64,
    is_compressed: bool,
    has_zeros: bool,
}

impl Fields {
    fn read(bytes: &[u8; 512]) -> Result<Self> {
        let version = le32(bytes, 4);
        if !bytes.starts_with(b"KDMV") || !(1..=3).contains(&version) {
            return Err(refuse(format!(
                "VMDK version {version}: only 1, 2 and 3 are supported"
            )));
        }
        let flags = le32(bytes, 8);
        let unknown = flags & !(NEWLINES | SPARE | ZEROS | COMPRESSED | MARKERS);
        if unknown != 0 {
            return Err(refuse(format!(
                "flags that are not known here: {unknown:#x}"
            )));
        }
        // Broken by whoever took it for a text.
        if flags & NEWLINES != 0 && &bytes[73..77] != b"\n \r\n" {
            return Err(refuse("its line ends were changed on the way"));
        }
        if bytes[72] != 0 {
            return Err(refuse("it was not closed, and needs to be checked first"));
        }
        let is_compressed = flags & COMPRESSED != 0;
        match (le16(bytes, 77), is_compressed, flags & MARKERS != 0) {
            (0, false, false) | (1, true, true) => {}
            (method, ..) => {
                return Err(refuse(format!(
                    "compression of type {method} with flags {flags:#x}"
                )));
            }
        }
        let (capacity, grain) = (le64(bytes, 12), le64(bytes, 20));
        if capacity == 0 || capacity > MAX_CAPACITY {
            return Err(refuse(format!("a disk of {capacity} sectors")));
        }
        if !grain.is_power_of_two() || !GRAINS.contains(&grain) {
            return Err(refuse(format!("grains of {grain} sectors")));
        }
        let entries = le32(bytes, 44);
        if u64::from(entries) != ENTRIES {
            return Err(refuse(format!("grain tables of {entries} entries")));
        }
        let spare = le64(bytes, 48);
        Ok(Self {
            flags,
            capacity,
            grain,
            descriptor: (le64(bytes, 28), le64(bytes, 36)),
            spare: (flags & SPARE != 0 && spare != 0).then_some(spare),
            directory: le64(bytes, 56),
            data: le64(bytes, 64),
            is_compressed,
            has_zeros: flags & ZEROS != 0,
        })
    }

    /// The last three sectors of a stream: the marker of a footer, the header once more, and the
    /// marker of the end. Where the directory is, and where the three are, in bytes.
    fn footer(&self, source: &Source) -> Result<(u64, u64)> {
        let wrong = || refuse("it does not end with a footer: cut off, or damaged");
        let at = source
            .length()
            .checked_sub(FOOTER as u64)
            .ok_or_else(wrong)?;
        let mut bytes = [0; FOOTER];
        source.read(at, &mut bytes)?;
        let (marker, rest) = bytes.split_at(512);
        let (header, end) = rest.split_at(512);
        // A marker: a value, 0 bytes of data, and its type.
        let is_marker = le32(marker, 8) == 0 && le32(marker, 12) == FOOTER_MARKER;
        let is_end = end.iter().all(|byte| *byte == 0);
        if !is_marker || !is_end || at % SECTOR != 0 {
            return Err(wrong());
        }
        let mut copy = [0; 512];
        copy.copy_from_slice(header);
        let copy = Self::read(&copy)?;
        let is_same =
            (copy.flags, copy.capacity, copy.grain) == (self.flags, self.capacity, self.grain);
        if !is_same || copy.directory == AT_END {
            return Err(refuse("its header and its footer differ"));
        }
        Ok((copy.directory, at))
    }
}

/// From sectors.
fn bytes_of(sectors: u64) -> Result<u64> {
    let bytes = sectors.checked_mul(SECTOR);
    bytes.ok_or_else(|| refuse(format!("a place at sector {sectors}")))
}

pub(super) const SECTOR: u64 = 512;
/// Entries of a grain table.
pub(super) const ENTRIES: u64 = 512;
/// 4 KiB, below which tables would be larger than they are worth, to 2 MiB, of which each thread
/// holds one compressed and one decoded.
const GRAINS: std::ops::RangeInclusive<u64> = 8..=4096;
/// 64 TiB, more than any version of the format can have.
const MAX_CAPACITY: u64 = 1 << 37;
/// Entries of the directory, which is in memory: 32 TiB at the usual grain.
const MAX_ENTRIES: u64 = 1 << 20;
/// The directory is said in the footer.
const AT_END: u64 = u64::MAX;
const FOOTER: usize = 3 * 512;
const FOOTER_MARKER: u32 = 3;

const NEWLINES: u32 = 1;
const SPARE: u32 = 1 << 1;
const ZEROS: u32 = 1 << 2;
const COMPRESSED: u32 = 1 << 16;
const MARKERS: u32 = 1 << 17;
