//! qcow2 images by hand, and what the files that they become look like.

use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use distro_fetch::cache::Overwrite;
use distro_fetch::disk::{Converter, Disk, DiskFormat};
use distro_fetch::event::Silent;

use crate::crash::strace::required;
use crate::harness::{Lab, Said, distro_fetch, noise, said};

/// How an image is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) version: u32,
    /// Clusters have two to this many bytes.
    pub(super) bits: u32,
    pub(super) extended: bool,
    pub(super) zstd: bool,
}

impl Style {
    pub(super) const V2: Self = Self {
        version: 2,
        ..Self::V3
    };
    /// With clusters of 4 KiB.
    pub(super) const V3: Self = Self {
        version: 3,
        bits: 12,
        extended: false,
        zstd: false,
    };
    pub(super) const ZSTD: Self = Self {
        zstd: true,
        ..Self::V3
    };
    pub(super) const EXTENDED: Self = Self {
        extended: true,
        bits: 14,
        ..Self::V3
    };

    pub(super) fn with_bits(self, bits: u32) -> Self {
        Self { bits, ..self }
    }

    pub(super) fn cluster(self) -> usize {
        1 << self.bits
    }

    /// Clusters of one second table.
    pub(super) fn entries(self) -> usize {
        self.cluster() / self.width()
    }

    fn width(self) -> usize {
        if self.extended { 16 } else { 8 }
    }
}

/// What a cluster is.
#[derive(Clone, Debug)]
pub(super) enum Cluster {
    /// Nowhere.
    Hole,
    /// Zeros, by a flag.
    Zero,
    /// The same, and the place of what was there before.
    Stale(Vec<u8>),
    /// As it is.
    Data(Vec<u8>),
    Packed(Vec<u8>),
    /// Which of its 32 parts are there, which are zeros, and all of it.
    Parts(u32, u32, Vec<u8>),
}

/// An image, the disk that it is of, and where in it things are.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    pub(super) raw: Vec<u8>,
    style: Style,
    /// Offsets of the first table, and of the second ones that there are.
    pub(super) l1: usize,
    tables: Vec<Option<usize>>,
}

impl Image {
    /// An image of so many bytes of these clusters; what is not named is nowhere.
    pub(super) fn new(style: Style, size: usize, clusters: &[(usize, Cluster)]) -> Self {
        let (cluster, entries) = (style.cluster(), style.entries());
        let l1_size = size.div_ceil(entries * cluster);
        let l1 = 3 * cluster;
        let mut image = Self {
            bytes: vec![0; l1 + (l1_size * 8).next_multiple_of(cluster)],
            raw: vec![0; size.next_multiple_of(cluster)],
            style,
            l1,
            tables: vec![None; l1_size],
        };
        image.header(size, l1_size);
        for (nth, _) in clusters {
            let index = nth / entries;
            if image.tables[index].is_none() {
                let at = image.append(&vec![0; cluster]);
                image.tables[index] = Some(at);
                image.put64(l1 + index * 8, COPIED | at as u64);
            }
        }
        let (packed, plain): (Vec<_>, Vec<_>) = clusters
            .iter()
            .partition(|(_, it)| matches!(it, Cluster::Packed(_)));
        for (nth, content) in plain.into_iter().chain(packed) {
            image.set(*nth, content);
        }
        image.raw.truncate(size);
        image
    }

    fn header(&mut self, size: usize, l1_size: usize) {
        let (style, cluster, l1) = (self.style, self.style.cluster(), self.l1);
        self.bytes[..4].copy_from_slice(b"QFI\xfb");
        self.put32(4, style.version);
        self.put32(20, style.bits);
        self.put64(24, size as u64);
        self.put32(36, u32::try_from(l1_size).unwrap());
        self.put64(40, l1 as u64);
        self.put64(48, cluster as u64);
        self.put32(56, 1);
        // A table of reference counts, and one block of them.
        self.put64(cluster, 2 * cluster as u64);
        if style.version < 3 {
            return;
        }
        self.put64(
            72,
            u64::from(style.zstd) << 3 | u64::from(style.extended) << 4,
        );
        self.put32(96, 4);
        self.put32(100, if style.zstd { 112 } else { 104 });
        if style.zstd {
            self.bytes[104] = 1;
        }
    }

    fn set(&mut self, nth: usize, content: &Cluster) {
        let cluster = self.style.cluster();
        let entry = match content {
            Cluster::Hole => 0,
            Cluster::Zero => 1,
            Cluster::Stale(data) => COPIED | 1 | self.append(data) as u64,
            Cluster::Data(data) | Cluster::Parts(_, _, data) => COPIED | self.append(data) as u64,
            Cluster::Packed(data) => {
                let packed = self.pack(data);
                self.append_packed(&packed)
            }
        };
        let at = self.entry(nth);
        self.put64(at, entry);
        let (filled, zeroed) = match content {
            Cluster::Data(_) => (u32::MAX, 0),
            Cluster::Zero => (0, u32::MAX),
            Cluster::Parts(filled, zeroed, _) => (*filled, *zeroed),
            _ => (0, 0),
        };
        if self.style.extended {
            if let Cluster::Zero = content {
                self.put64(at, 0);
            }
            self.put64(at + 8, u64::from(zeroed) << 32 | u64::from(filled));
        }
        let raw = &mut self.raw[nth * cluster..][..cluster];
        match content {
            Cluster::Data(data) | Cluster::Packed(data) => raw.copy_from_slice(data),
            Cluster::Parts(filled, _, data) => {
                let part = cluster / 32;
                for nth in (0..32).filter(|nth| filled >> nth & 1 == 1) {
                    let range = nth * part..(nth + 1) * part;
                    raw[range.clone()].copy_from_slice(&data[range]);
                }
            }
            _ => {}
        }
    }

    /// Compresses as the image does.
    pub(super) fn pack(&self, data: &[u8]) -> Vec<u8> {
        if self.style.zstd {
            return zstd::bulk::compress(data, 3).unwrap();
        }
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    /// Adds what is compressed, wherever the file ends: the entry for it.
    pub(super) fn append_packed(&mut self, packed: &[u8]) -> u64 {
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(packed);
        self.packed_entry(at, packed.len() as u64)
    }

    pub(super) fn packed_entry(&self, at: u64, length: u64) -> u64 {
        let more = (at + length - 1) / 512 - at / 512;
        PACKED | more << (62 - (self.style.bits - 8)) | at
    }

    /// Adds clusters at the end.
    fn append(&mut self, data: &[u8]) -> usize {
        let at = self.bytes.len().next_multiple_of(self.style.cluster());
        self.bytes.resize(at, 0);
        self.bytes.extend_from_slice(data);
        at
    }

    /// Where the entry of a cluster is.
    pub(super) fn entry(&self, nth: usize) -> usize {
        let table = self.tables[nth / self.style.entries()].unwrap();
        table + nth % self.style.entries() * self.style.width()
    }

    pub(super) fn cluster(&self) -> usize {
        self.style.cluster()
    }

    pub(super) fn put32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub(super) fn put64(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }

    pub(super) fn get64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }
}

pub(super) const COPIED: u64 = 1 << 63;
pub(super) const PACKED: u64 = 1 << 62;

/// Bytes that compress.
pub(super) fn text(length: usize, salt: usize) -> Vec<u8> {
    let line = format!("{salt} all work and no play makes a dull disk\n");
    line.bytes().cycle().take(length).collect()
}

/// Bytes that do not, others for each salt.
pub(super) fn salted(length: usize, salt: usize) -> Vec<u8> {
    noise(length + salt * 8).split_off(salt * 8)
}

/// A disk of a few clusters, every kind that the style has, with a gap before its last one.
pub(super) fn mixed(style: Style) -> Image {
    let cluster = style.cluster();
    let mut clusters = vec![
        (0, Cluster::Data(salted(cluster, 0))),
        (1, Cluster::Hole),
        (2, Cluster::Packed(text(cluster, 1))),
        (3, Cluster::Packed(text(cluster, 2))),
        (4, Cluster::Packed(vec![0; cluster])),
        (5, Cluster::Data(vec![0; cluster])),
    ];
    if style.version > 2 {
        clusters.push((6, Cluster::Zero));
    }
    if style.extended {
        clusters.push((7, Cluster::Parts(0x8000_f00f, 0, salted(cluster, 3))));
        clusters.push((
            8,
            Cluster::Parts(0x00ff_0001, 0x0f00_00f0, salted(cluster, 4)),
        ));
    } else if style.version > 2 {
        clusters.push((7, Cluster::Stale(salted(cluster, 3))));
    }
    // In another table, beyond one that is not there, where a table is small.
    let last = if style.bits < 12 {
        style.entries() * 2 + 3
    } else {
        10
    };
    clusters.push((last, Cluster::Data(salted(cluster, 5))));
    clusters.push((last + 1, Cluster::Packed(text(cluster, 6))));
    Image::new(style, (last + 2) * cluster, &clusters)
}

/// Converts by the library with so many threads.
pub(super) fn convert(
    source: &Path,
    target: &Path,
    threads: usize,
) -> distro_fetch::Result<distro_fetch::disk::Survey> {
    let disk = Disk::open(source, DiskFormat::Qcow2)?;
    Converter::new("test", &Silent)
        .with_threads(NonZeroUsize::new(threads).unwrap())
        .to_file(&disk, target, Overwrite::No)
}

/// Bytes that a file takes.
pub(super) fn allocated(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// Bytes that content takes, if no block of zeros does; and what a file system may add.
pub(super) fn at_most(raw: &[u8]) -> u64 {
    let blocks = raw
        .chunks(4096)
        .filter(|block| block.iter().any(|byte| *byte != 0));
    (blocks.count() as u64 + 4) * 4096
}

/// A file that is `raw`, and takes no more space than it must.
pub(super) fn assert_sparse(path: &Path, raw: &[u8], when: &str) {
    // Not `assert_eq`: nobody reads megabytes.
    assert!(fs::read(path).unwrap() == raw, "{when}: other content");
    let (has, most) = (allocated(path), at_most(raw));
    assert!(has <= most, "{when}: {has} bytes on disk, not {most}");
}

/// Everything in a folder, sorted.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An empty folder.
pub(super) fn folder(lab: &Lab, name: &str) -> PathBuf {
    let path = lab.path(name);
    fs::create_dir(&path).unwrap();
    path
}

/// The program converts a file.
pub(super) fn run(source: &Path, target: &Path, more: &[&str]) -> Said {
    let mut command = distro_fetch();
    command.arg("convert").arg(source).arg("-o").arg(target);
    said(command.args(more))
}

/// Whether a judge is installed. In CI it must be.
pub(super) fn have(judge: &str) -> bool {
    let output = Command::new(judge).arg("--version").output();
    required(judge, output.is_ok_and(|output| output.status.success()))
}

/// Runs a judge, which has to be content.
pub(super) fn judge(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}
