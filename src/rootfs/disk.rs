//! From the file of a disk image, compressed as a whole or not, to a raw disk.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use crate::archive::{Checks, Decoder, Format, Limits, error_of};
use crate::base::DiskFormat;
use crate::disk::{Converter, Disk, Gpt, SparseWriter, fit_gpt};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::sys::{self, Draft, Overwrite};

/// What the file of a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskFile {
    /// How it keeps the content of the disk.
    pub format: DiskFormat,
    /// How all of that is compressed: `disk.raw.xz`.
    pub packed: Format,
}

impl DiskFile {
    /// What a file is by its name and by what is `declared` of it, by a catalog or a user. The
    /// file is looked at, but for a contradiction only: a name that may mean two things, over
    /// bytes that look like one of them, needs somebody to say it.
    ///
    /// # Errors
    /// [`Kind::Format`] if nobody says what it is; [`Kind::Local`] if it cannot be read.
    pub fn of(name: &str, declared: Option<DiskFormat>, file: &File) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let packed = PACKED
            .into_iter()
            .find_map(|(suffix, packed)| Some((lower.strip_suffix(suffix)?, packed)));
        let (inner, packed) = packed.unwrap_or((&lower, Format::Plain));
        if let Some(format) = declared.or_else(|| DiskFormat::of_file_name(inner)) {
            return Ok(Self { format, packed });
        }
        let refuse = |why: String| {
            let message = format!("{name}: {why}");
            Err(Error::new(Kind::Format, message))
        };
        if inner.strip_suffix(".img").is_none() {
            return refuse(
                "its name does not tell the format of the disk; say it: --from raw, --from qcow2"
                    .into(),
            );
        }
        let start = start(file, packed).map_err(|error| error.about(name))?;
        match Disk::looks_like(&start) {
            // Most of them are.
            None => Ok(Self {
                format: DiskFormat::Raw,
                packed,
            }),
            Some(found) => refuse(format!(
                "it looks like {found}; say what it is: --from {found}, or --from raw"
            )),
        }
    }
}

/// The first bytes of a file, decoded. It is read from its start again afterwards.
fn start(mut file: &File, packed: Format) -> Result<Vec<u8>> {
    let cannot = |error| Error::new(Kind::Local, "cannot read").with_source(error);
    let mut start = Vec::new();
    let read = if packed == Format::Plain {
        file.take(START).read_to_end(&mut start).map_err(cannot)
    } else {
        Decoder::new(file, packed, &Limits::default(), Checks::Verify)
            .and_then(|it| it.take(START).read_to_end(&mut start).map_err(error_of))
    };
    file.rewind().map_err(cannot)?;
    read.map(|_| start)
}

/// What a raw disk becomes beyond what the image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Its size in bytes, at least that of the image; that of the image, if none is said.
    pub size: Option<u64>,
    /// Whether the backup of a partition table goes to the new end.
    pub fit_gpt: bool,
}

impl Growth {
    /// The disk as it is.
    pub const NONE: Self = Self {
        size: None,
        fit_gpt: true,
    };
}

/// The file of a disk image, open.
pub struct LocalDisk<'a> {
    /// What events and errors are about.
    subject: &'a str,
    file: File,
    kind: DiskFile,
    checks: Checks,
    /// Where other files are that it needs.
    folder: Option<&'a Path>,
    observer: &'a dyn Observer,
}

impl<'a> LocalDisk<'a> {
    /// A file that is declared to be of a kind.
    pub fn new(subject: &'a str, file: File, kind: DiskFile, observer: &'a dyn Observer) -> Self {
        Self {
            subject,
            file,
            kind,
            checks: Checks::Verify,
            folder: None,
            observer,
        }
    }

    /// With or without the checks of a compressed stream: see [`Checks::Ignore`].
    #[must_use]
    pub fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// With the folder of the image, if what the image says of other files may be followed there:
    /// see [`Disk::open`].
    #[must_use]
    pub fn with_folder(self, folder: &'a Path) -> Self {
        let folder = Some(folder);
        Self { folder, ..self }
    }

    /// The size of the disk in bytes, if it can be told without decoding all of it.
    ///
    /// # Errors
    /// As [`to_file`](Self::to_file).
    pub fn size(&self) -> Result<Option<u64>> {
        match self.kind.packed {
            Format::Plain => Ok(Some(self.disk(&self.file)?.size())),
            _ => Ok(None),
        }
    }

    /// Makes a raw disk at `target`: see [`convert`](crate::disk::convert).
    ///
    /// # Errors
    /// As [`convert`](crate::disk::convert); [`Kind::Other`] if the disk is larger than what it
    /// is to become: nothing was created then.
    pub fn to_file(&self, target: &Path, growth: Growth, overwrite: Overwrite) -> Result<Gpt> {
        let target = std::path::absolute(target)
            .map_err(|error| Error::local("cannot write", target, error))?;
        let cannot = |error| Error::local("cannot write", &target, error);
        self.check(growth)?;
        if sys::is_at(&self.file, &target) {
            let message = format!("{}: it would replace itself", target.display());
            return Err(Error::new(Kind::Local, message).with_path(&target));
        }
        let is_there = overwrite == Overwrite::No && sys::exists(&target);
        if is_there && !self.may_be(&target, growth)? {
            return Err(Draft::in_the_way(&target));
        }
        let draft = Draft::beside(&target).map_err(cannot)?;
        let gpt = self.write(draft.file(), &target, growth)?;
        if is_there {
            let made = draft.file().try_clone().map_err(cannot)?;
            let made = Disk::from_file(made, DiskFormat::Raw)?;
            if Converter::new(self.subject, self.observer).is_in(&made, &target)? {
                return Ok(gpt);
            }
        }
        draft.commit(overwrite)?;
        Ok(gpt)
    }

    /// Refuses to shrink, where that can be known before anything is made.
    ///
    /// # Errors
    /// [`Kind::Other`], and as [`to_file`](Self::to_file).
    pub fn check(&self, growth: Growth) -> Result<()> {
        match (growth.size, self.size()?) {
            (Some(size), Some(has)) => self.check_size(size, has),
            _ => Ok(()),
        }
    }

    /// Fills `output`, which is empty. What has to be decoded on the way lies beside `beside`, and
    /// has no name.
    pub(super) fn write(&self, output: &File, beside: &Path, growth: Growth) -> Result<Gpt> {
        let cannot = |error| Error::local("cannot write", beside, error);
        let DiskFile { format, packed } = self.kind;
        let has = if packed == Format::Plain {
            self.convert(&self.file, output, beside)?
        } else if format == DiskFormat::Raw {
            self.decode(output)?
        } else {
            let spool = Draft::beside(beside).map_err(cannot)?;
            self.decode(spool.file())?;
            self.convert(spool.file(), output, beside)?
        };
        let Some(size) = growth.size.filter(|size| *size != has) else {
            return Ok(Gpt::Fits);
        };
        self.check_size(size, has)?;
        output.set_len(size).map_err(cannot)?;
        if growth.fit_gpt {
            fit_gpt(output)
        } else {
            Ok(Gpt::Fits)
        }
    }

    /// Whether what has the name of an output could be that output: before it is made to compare.
    fn may_be(&self, target: &Path, growth: Growth) -> Result<bool> {
        let wanted = growth.size.or(self.size()?);
        let there = sys::open_regular(target).and_then(|file| file.metadata());
        Ok(there.is_ok_and(|meta| wanted.is_none_or(|wanted| meta.len() == wanted)))
    }

    fn check_size(&self, size: u64, has: u64) -> Result<()> {
        if size >= has {
            return Ok(());
        }
        let message = format!(
            "{}: a disk of {has} bytes does not fit into {size}",
            self.subject
        );
        Err(Error::new(Kind::Other, message))
    }

    fn disk(&self, file: &File) -> Result<Disk> {
        let file = file
            .try_clone()
            .map_err(|error| Error::local("cannot read", self.subject, error))?;
        let disk = match self.folder {
            Some(folder) => Disk::from_file_in(file, self.kind.format, folder),
            None => Disk::from_file(file, self.kind.format),
        };
        disk.map_err(|error| error.about(self.subject))
    }

    /// From a file that is not compressed as a whole.
    fn convert(&self, file: &File, output: &File, beside: &Path) -> Result<u64> {
        let disk = self.disk(file)?;
        let converter = Converter::new(self.subject, self.observer);
        Ok(converter.write(&disk, output, beside)?.size)
    }

    /// Decodes the whole file to a sparse one.
    fn decode(&self, output: &File) -> Result<u64> {
        let about = |error: Error| error.about(self.subject);
        let cannot = |error| Error::local("cannot read", self.subject, error);
        let mut file = self.file.try_clone().map_err(cannot)?;
        file.rewind().map_err(cannot)?;
        let total = file.metadata().map_err(cannot)?.len();
        let limits = Limits {
            bytes: MAX_DISK,
            ..Limits::default()
        };
        let stream = Decoder::new(file, self.kind.packed, &limits, self.checks).map_err(about)?;
        let mut decoded = stream.threaded();
        let mut writer = SparseWriter::new(output);
        let unwritable = |error| {
            Error::new(Kind::Local, format!("{}: cannot write", self.subject)).with_source(error)
        };
        self.tell(total)?;
        let mut buffer = vec![0; BUFFER];
        let mut steps = 0_usize;
        loop {
            // Two ends of a copy, and only one of them is the archive's.
            let n = decoded.read(&mut buffer).map_err(error_of).map_err(about)?;
            if n == 0 {
                return writer.finish().map_err(unwritable);
            }
            writer.write_all(&buffer[..n]).map_err(unwritable)?;
            if steps.is_multiple_of(STEPS) {
                self.tell(total)?;
            }
            steps += 1;
        }
    }

    fn tell(&self, total: u64) -> Result<()> {
        // The position is shared with the file that is being decoded.
        let read = (&self.file).stream_position().unwrap_or(0);
        let event = Event {
            subject: self.subject,
            what: What::Unpacking {
                read,
                total: Some(total),
            },
        };
        match self.observer.on(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(Kind::Cancelled, "stopped while decoding")),
        }
    }
}

impl std::fmt::Debug for LocalDisk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalDisk")
            .field("subject", &self.subject)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

const PACKED: [(&str, Format); 4] = [
    (".gz", Format::Gzip),
    (".xz", Format::Xz),
    (".zst", Format::Zstd),
    (".bz2", Format::Bzip2),
];

/// Bytes that are enough for every magic at the start of an image.
const START: u64 = 512;

/// What comes out of a compressed disk at most, in bytes: zeros take no space, but time.
const MAX_DISK: u64 = 16 << 40;

/// Bytes that are decoded at once.
const BUFFER: usize = 128 << 10;

/// How many of them pass between two looks at the observer.
const STEPS: usize = 64;
