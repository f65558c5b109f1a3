//! An image of any format.

use std::fs::File;
use std::path::Path;

use super::decode::Codec;
use super::extent::{Extent, Place, Survey};
use super::source::{Source, refuse};
use super::sparse::{Run, data_in};
use super::{qcow2, vhd, vhdx, vmdk};
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
    /// Stretches of files as they stand, in order; what lies between them is zeros.
    Flat(Vec<(usize, Run)>),
    Qcow2(qcow2::Map),
    Vmdk(vmdk::Map),
    Vhd(vhd::Map),
    Vhdx(vhdx::Map),
}

impl Disk {
    /// Opens the image at `path`, which is declared to be in `format`. If it says that its content
    /// is in other files, they are looked for in its own folder, and nowhere else.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::error::Kind::Format) if it is not, or is refused;
    /// [`Kind::Local`](crate::error::Kind::Local) if it cannot be read.
    pub fn open(path: &Path, format: DiskFormat) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::local("cannot read", path, error))?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        Self::new(file, format, Some(folder))
            .map_err(|error| error.about(&path.to_string_lossy()).with_path(path))
    }

    /// The same for a file that is open. Of formats in several files, the others are not looked
    /// for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: File, format: DiskFormat) -> Result<Self> {
        Self::new(file, format, None)
    }

    /// The same for a file that is open; other files that it needs are in `folder`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file_in(file: File, format: DiskFormat, folder: &Path) -> Result<Self> {
        Self::new(file, format, Some(folder))
    }

    fn new(file: File, format: DiskFormat, folder: Option<&Path>) -> Result<Self> {
        let source = Source::new(file)?;
        check_magic(&source, format)?;
        let mut others = Vec::new();
        let (size, layout) = match format {
            DiskFormat::Raw => flat(source.length()),
            DiskFormat::Qcow2 => {
                let map = qcow2::Map::open(&source)?;
                (map.size(), Layout::Qcow2(map))
            }
            DiskFormat::Vmdk if vmdk::is_text(&source)? => {
                let flat = vmdk::Flat::open(&source, folder)?;
                others = flat.files;
                // The descriptor is the first of the files.
                let runs = flat.runs.into_iter().map(|(file, run)| (file + 1, run));
                (flat.size, Layout::Flat(runs.collect()))
            }
            DiskFormat::Vmdk => {
                let map = vmdk::Map::open(&source)?;
                (map.size(), Layout::Vmdk(map))
            }
            DiskFormat::Vhd => {
                let footer = vhd::Footer::read(&source)?;
                match footer.header {
                    None => flat(footer.size),
                    Some(header) => {
                        let map = vhd::Map::open(&source, footer.size, header)?;
                        (footer.size, Layout::Vhd(map))
                    }
                }
            }
            DiskFormat::Vhdx => {
                let map = vhdx::Map::open(&source)?;
                (map.size(), Layout::Vhdx(map))
            }
        };
        let mut files = vec![source];
        files.append(&mut others);
        Ok(Self {
            format,
            size,
            files,
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
        let file = &self.files[0];
        let pieces: Box<dyn Iterator<Item = Result<Extent>> + Send> = match &self.layout {
            Layout::Flat(runs) => Box::new(self.flat_extents(runs)),
            Layout::Qcow2(map) => Box::new(map.extents(file)),
            Layout::Vmdk(map) => Box::new(map.extents(file)),
            Layout::Vhd(map) => Box::new(map.extents(file)),
            Layout::Vhdx(map) => Box::new(map.extents(file)),
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
            Layout::Qcow2(map) => map.cluster(),
            Layout::Vmdk(map) => map.cluster(),
            Layout::Flat(_) | Layout::Vhd(_) | Layout::Vhdx(_) => 0,
        }
    }

    pub(super) fn codec(&self) -> Codec {
        match &self.layout {
            Layout::Qcow2(map) => map.codec(),
            Layout::Vmdk(_) => Codec::Zlib,
            Layout::Flat(_) | Layout::Vhd(_) | Layout::Vhdx(_) => Codec::Deflate,
        }
    }

    /// Data and holes of stretches of files, and zeros between them.
    fn flat_extents<'a>(
        &'a self,
        runs: &'a [(usize, Run)],
    ) -> impl Iterator<Item = Result<Extent>> + Send + 'a {
        let zeros = |start: u64, end: u64| {
            (start < end).then_some(Ok(Extent {
                start,
                length: end.saturating_sub(start),
                place: Place::Zero,
            }))
        };
        let mut at = 0;
        let last = runs.last().map_or(0, |(_, run)| run.start + run.length);
        let pieces = runs.iter().flat_map(move |(file, run)| {
            let gap = zeros(at, run.start);
            at = run.start + run.length;
            gap.into_iter()
                .chain(data_in(&self.files[*file], *file, *run))
        });
        pieces.chain(zeros(last, self.size))
    }
}

/// A disk that is the beginning of its file.
fn flat(size: u64) -> (u64, Layout) {
    let run = Run {
        start: 0,
        offset: 0,
        length: size,
    };
    (size, Layout::Flat(vec![(0, run)]))
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
        // A fixed one has its magic in its last sector only, and may begin like anything.
        _ if format == DiskFormat::Vhd && vhd::has_footer(source)? => Ok(()),
        found => {
            let found = found.map_or("something else", DiskFormat::as_str);
            Err(refuse(format!(
                "declared {format}, but the first bytes are those of {found}"
            )))
        }
    }
}
