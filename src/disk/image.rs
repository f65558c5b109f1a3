//! An image of any format.

use std::fs::File;
use std::path::Path;

use super::decode::Codec;
use super::extent::{Extent, Place, Survey};
use super::qcow2;
use super::source::{Source, refuse};
use crate::base::DiskFormat;
use crate::error::{Error, Result};

/// A disk image, open for reading.
#[derive(Debug)]
pub struct Disk {
    format: DiskFormat,
    size: u64,
    /// The image itself first.
    files: Vec<Source>,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    Raw,
    Qcow2(qcow2::Map),
}

impl Disk {
    /// Opens the image at `path`, which is declared to be in `format`.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::error::Kind::Format) if it is not, or is refused;
    /// [`Kind::Local`](crate::error::Kind::Local) if it cannot be read.
    pub fn open(path: &Path, format: DiskFormat) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::local("cannot read", path, error))?;
        Self::from_file(file, format)
            .map_err(|error| error.about(&path.to_string_lossy()).with_path(path))
    }

    /// The same for a file that is open. Of formats in several files, the others are not looked
    /// for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: File, format: DiskFormat) -> Result<Self> {
        let source = Source::new(file)?;
        check_magic(&source, format)?;
        let (size, layout) = match format {
            DiskFormat::Raw => (source.length(), Layout::Raw),
            DiskFormat::Qcow2 => {
                let map = qcow2::Map::open(&source)?;
                (map.size(), Layout::Qcow2(map))
            }
            DiskFormat::Vmdk | DiskFormat::Vhd | DiskFormat::Vhdx => {
                return Err(refuse(format!("{format} images are not supported")));
            }
        };
        Ok(Self {
            format,
            size,
            files: vec![source],
            layout,
        })
    }

    /// What the image is in.
    pub fn format(&self) -> DiskFormat {
        self.format
    }

    /// The size of the disk in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What the first bytes of a file are the magic of, if it is known. Only for advice: a raw
    /// disk may begin like anything.
    pub fn looks_like(start: &[u8]) -> Option<DiskFormat> {
        match start {
            [b'Q', b'F', b'I', 0xfb, ..] => Some(DiskFormat::Qcow2),
            [b'K', b'D', b'M', b'V', ..] => Some(DiskFormat::Vmdk),
            _ if start.starts_with(b"# Disk DescriptorFile") => Some(DiskFormat::Vmdk),
            _ if start.starts_with(b"vhdxfile") => Some(DiskFormat::Vhdx),
            _ if start.starts_with(b"conectix") => Some(DiskFormat::Vhd),
            _ => None,
        }
    }

    /// The whole disk, piece by piece in ascending order, without gaps. Tables are read as they
    /// are needed; neighbours that are one are joined.
    pub fn extents(&self) -> impl Iterator<Item = Result<Extent>> + Send + '_ {
        let pieces: Box<dyn Iterator<Item = Result<Extent>> + Send> = match &self.layout {
            Layout::Raw => Box::new(super::sparse::data_of(&self.files[0])),
            Layout::Qcow2(map) => Box::new(map.extents(&self.files[0])),
        };
        Joined {
            pieces,
            waiting: None,
        }
    }

    /// Reads every table to its end, and adds up.
    ///
    /// # Errors
    /// As [`open`](Self::open). What this lets pass can be converted, as far as its tables go.
    pub fn survey(&self) -> Result<Survey> {
        let mut survey = Survey {
            size: self.size,
            ..Survey::default()
        };
        for extent in self.extents() {
            let extent = extent?;
            match extent.place {
                Place::Zero => {}
                Place::Data { .. } => survey.data += extent.length,
                Place::Compressed { .. } => survey.compressed += extent.length,
            }
        }
        let there: u64 = self.files.iter().map(Source::length).sum();
        if survey.data > there {
            // One cluster for many addresses: a small image that fills a disk.
            let (data, length) = (survey.data, there);
            return Err(refuse(format!(
                "its tables refer to {data} bytes of data, and the file has {length}"
            )));
        }
        Ok(survey)
    }

    pub(super) fn file(&self, index: usize) -> &Source {
        &self.files[index]
    }

    /// Bytes of the disk that a compressed piece decodes to.
    pub(super) fn cluster(&self) -> usize {
        match &self.layout {
            Layout::Raw => 0,
            Layout::Qcow2(map) => map.cluster(),
        }
    }

    pub(super) fn codec(&self) -> Codec {
        match &self.layout {
            Layout::Raw => Codec::Deflate,
            Layout::Qcow2(map) => map.codec(),
        }
    }
}

/// Neighbours made one.
struct Joined<I> {
    pieces: I,
    waiting: Option<Extent>,
}

impl<I: Iterator<Item = Result<Extent>>> Iterator for Joined<I> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = match self.pieces.next() {
                Some(Ok(next)) => next,
                Some(Err(error)) => return Some(Err(error)),
                None => return self.waiting.take().map(Ok),
            };
            let joined = self.waiting.as_mut().is_some_and(|last| last.join(&next));
            if !joined && let Some(done) = self.waiting.replace(next) {
                return Some(Ok(done));
            }
        }
    }
}

fn check_magic(source: &Source, format: DiskFormat) -> Result<()> {
    if format == DiskFormat::Raw {
        return Ok(());
    }
    let (start, there) = source.start::<512>()?;
    let start = &start[..there];
    match Disk::looks_like(start) {
        Some(found) if found == format => Ok(()),
        // A fixed one has its magic in its last sector only.
        None if format == DiskFormat::Vhd => Ok(()),
        found => {
            let found = found.map_or("something else", DiskFormat::as_str);
            Err(refuse(format!(
                "declared {format}, but the first bytes are those of {found}"
            )))
        }
    }
}
