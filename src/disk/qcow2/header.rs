//! The header: 72 bytes in version 2, at least 104 in version 3.

use super::super::decode::Codec;
use super::super::source::{Source, be32, be64, refuse};
use crate::error::Result;

/// What the header says that matters to a reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    /// Bytes of the disk.
    pub(super) size: u64,
    /// Number of entries of the first table.
    pub(super) l1_size: u64,
    pub(super) l1_offset: u64,
    /// The table of reference counts, which is not read, but must not be on top of others.
    pub(super) refcounts: (u64, u64),
    pub(super) codec: Codec,
    /// Whether clusters have 32 parts, each with a state of its own.
    pub(super) extended: bool,
}

impl Header {
    /// Reads and judges it.
    pub(super) fn read(source: &Source) -> Result<Self> {
        let (bytes, there) = source.start::<112>()?;
        if there < V2_LENGTH {
            return Err(refuse(format!("a header of {there} bytes is cut off")));
        }
        let version = be32(&bytes, 4);
        if !(2..=3).contains(&version) {
            return Err(refuse(format!(
                "qcow version {version}: only 2 and 3 are supported"
            )));
        }
        let cluster_bits = be32(&bytes, 20);
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(refuse(format!(
                "clusters of 2^{cluster_bits} bytes: there are 2^9 to 2^21"
            )));
        }
        if be64(&bytes, 8) != 0 || be32(&bytes, 16) != 0 {
            return Err(refuse(
                "it is only the difference to a backing file, which is never opened: flatten the \
                 image first",
            ));
        }
        match be32(&bytes, 32) {
            0 => {}
            1 | 2 => return Err(refuse("it is encrypted")),
            other => return Err(refuse(format!("it is encrypted by method {other}"))),
        }
        let features = if version == 2 {
            Features::NONE
        } else {
            if there < V3_LENGTH {
                return Err(refuse(format!("a header of {there} bytes is cut off")));
            }
            Features::read(&bytes, cluster_bits)?
        };
        let header = Self {
            version,
            cluster_bits,
            size: be64(&bytes, 24),
            l1_size: be32(&bytes, 36).into(),
            l1_offset: be64(&bytes, 40),
            refcounts: (be64(&bytes, 48), be32(&bytes, 56).into()),
            codec: features.codec,
            extended: features.extended,
        };
        header.check_extensions(source, features.length)?;
        header.check_tables(source)?;
        let (snapshots, offset) = (be32(&bytes, 60), be64(&bytes, 64));
        if snapshots > MAX_SNAPSHOTS || snapshots > 0 && !source.holds(offset, 1) {
            return Err(refuse(format!("a table of {snapshots} snapshots")));
        }
        Ok(header)
    }

    /// Bytes of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of an entry of a second table.
    pub(super) fn entry(&self) -> u64 {
        if self.extended { 16 } else { 8 }
    }

    /// Bytes of the disk that one entry of the first table stands for.
    pub(super) fn reach(&self) -> u64 {
        // At most 2^21 clusters of 2^21 bytes.
        self.cluster() / self.entry() * self.cluster()
    }

    /// Walks the extensions behind the header. None of them is needed; that they end where they
    /// should is what tells a header from noise.
    fn check_extensions(&self, source: &Source, length: u64) -> Result<()> {
        let end = self.cluster().min(source.length());
        let mut at = length;
        while at.saturating_add(8) <= end {
            let mut head = [0; 8];
            source.read(at, &mut head)?;
            if be32(&head, 0) == 0 {
                return Ok(());
            }
            let length = u64::from(be32(&head, 4)).next_multiple_of(8);
            at += 8 + length;
            if at > end {
                return Err(refuse(
                    "an extension of the header runs past the first cluster",
                ));
            }
        }
        Ok(())
    }

    fn check_tables(&self, source: &Source) -> Result<()> {
        if self.size > MAX_SIZE {
            return Err(refuse(format!("a disk of {} bytes", self.size)));
        }
        let needed = self.size.div_ceil(self.reach());
        if self.l1_size != needed {
            let (has, size) = (self.l1_size, self.size);
            return Err(refuse(format!(
                "its first table has {has} entries; a disk of {size} bytes has {needed}"
            )));
        }
        if self.l1_size * 8 > MAX_L1 {
            return Err(refuse(format!(
                "its first table has {} entries: too many",
                self.l1_size
            )));
        }
        let aligned = |offset: u64| offset.is_multiple_of(self.cluster());
        let (l1, length) = (self.l1_offset, self.l1_size * 8);
        if self.l1_size > 0 {
            if !aligned(l1) {
                return Err(refuse(format!("its first table is not aligned: at {l1}")));
            }
            if l1 == 0 {
                return Err(refuse("its first table overlaps the header"));
            }
            if !source.holds(l1, length) {
                return Err(refuse(format!(
                    "its first table is outside of the file: at {l1}"
                )));
            }
        }
        let (counts, clusters) = self.refcounts;
        let counted = clusters.saturating_mul(self.cluster());
        if clusters == 0 || counts == 0 || !aligned(counts) || !source.holds(counts, 1) {
            return Err(refuse(
                "its table of reference counts is not where it can be",
            ));
        }
        if self.l1_size > 0 && l1 < counts.saturating_add(counted) && counts < l1 + length {
            return Err(refuse("its first table overlaps the reference counts"));
        }
        Ok(())
    }
}

/// What only version 3 can say.
struct Features {
    length: u64,
    codec: Codec,
    extended: bool,
}

impl Features {
    const NONE: Self = Self {
        length: V2_LENGTH as u64,
        codec: Codec::Deflate,
        extended: false,
    };

    fn read(bytes: &[u8; 112], cluster_bits: u32) -> Result<Self> {
        let incompatible = be64(bytes, 72);
        if incompatible & CORRUPT != 0 {
            return Err(refuse("it is marked corrupt: `qemu-img check` first"));
        }
        if incompatible & EXTERNAL != 0 {
            return Err(refuse(
                "its data is in an external file, which is never opened: flatten the image first",
            ));
        }
        let unknown = incompatible & !(DIRTY | COMPRESSION | EXTENDED);
        if unknown != 0 {
            return Err(refuse(format!(
                "it needs features that are not known here: bits {unknown:#x}"
            )));
        }
        let order = be32(bytes, 96);
        if order > MAX_REFCOUNT_ORDER {
            return Err(refuse(format!("reference counts of 2^{order} bits")));
        }
        let length = u64::from(be32(bytes, 100));
        if length < V3_LENGTH as u64 || length % 8 != 0 || length > 1 << cluster_bits {
            return Err(refuse(format!("a header of {length} bytes")));
        }
        // The bit is there exactly if the type is not the default one.
        let kind = if length > V3_LENGTH as u64 {
            bytes[104]
        } else {
            0
        };
        let codec = match (incompatible & COMPRESSION != 0, kind) {
            (false, 0) => Codec::Deflate,
            (true, 1) => Codec::Zstd,
            (_, kind) => return Err(refuse(format!("compression of type {kind}"))),
        };
        let extended = incompatible & EXTENDED != 0;
        if extended && cluster_bits < MIN_EXTENDED_BITS {
            return Err(refuse(format!(
                "clusters of 2^{cluster_bits} bytes are too small for 32 parts each"
            )));
        }
        Ok(Self {
            length,
            codec,
            extended,
        })
    }
}

const V2_LENGTH: usize = 72;
const V3_LENGTH: usize = 104;
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// QEMU's own limit: a part has at least 512 bytes.
const MIN_EXTENDED_BITS: u32 = 14;
const MAX_REFCOUNT_ORDER: u32 = 6;
/// What a file can have.
const MAX_SIZE: u64 = i64::MAX as u64;
/// QEMU's own limit, in bytes: 2 PiB at the usual cluster size.
const MAX_L1: u64 = 32 << 20;
/// QEMU's own limit.
const MAX_SNAPSHOTS: u32 = 65_536;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED: u64 = 1 << 4;
