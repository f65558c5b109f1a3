//! From a compressed archive to a directory, or to its digest.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::archive::{Checks, Format, Limits, Reader};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::tree::{DigestBuilder, Policy, Report, TreeDigest, Writer};

/// Unpacks archives of one format, and tells an observer how far it is.
///
/// ```
/// use distro_fetch::archive::Format;
/// use distro_fetch::event::Silent;
/// use distro_fetch::rootfs::Unpacker;
/// use distro_fetch::tree::Policy;
///
/// # fn example(file: std::fs::File) -> distro_fetch::Result<()> {
/// let unpacker = Unpacker::new("base", Format::Xz, &Silent);
/// let report = unpacker.unpack(file, "base".as_ref(), Policy::of_this_user())?;
/// println!("{} entries", report.entries);
/// # Ok(())
/// # }
/// ```
pub struct Unpacker<'a> {
    subject: &'a str,
    format: Format,
    limits: Limits,
    checks: Checks,
    total: Option<u64>,
    observer: &'a dyn Observer,
}

impl<'a> Unpacker<'a> {
    /// Unpacks archives of a format; `subject` is what the observer is told it is about.
    pub fn new(subject: &'a str, format: Format, observer: &'a dyn Observer) -> Self {
        Self {
            subject,
            format,
            limits: Limits::default(),
            checks: Checks::Verify,
            total: None,
            observer,
        }
    }

    /// With these limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// With or without the checks of the compressed stream: see [`Checks::Ignore`].
    #[must_use]
    pub fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// Knowing how many bytes the compressed file has, for the observer.
    #[must_use]
    pub fn with_total(self, bytes: u64) -> Self {
        let total = Some(bytes);
        Self { total, ..self }
    }

    /// Unpacks an archive to `target`, which appears when all of it is there.
    ///
    /// # Errors
    /// [`Kind::Format`] for what is malformed, unsafe or beyond a limit; [`Kind::Local`] if the
    /// system cannot; [`Kind::Cancelled`]. Nothing is left at the target.
    pub fn unpack<R>(&self, source: R, target: &Path, policy: Policy) -> Result<Report>
    where
        R: Read + Send + 'static,
    {
        let mut writer = Writer::create(target, policy, self.limits)?;
        self.walk(source, |entry, data| writer.add(entry, data))?;
        writer.commit()
    }

    /// The digest of the tree in an archive: that of its extraction by root.
    ///
    /// # Errors
    /// As [`unpack`](Self::unpack).
    pub fn digest<R>(&self, source: R) -> Result<TreeDigest>
    where
        R: Read + Send + 'static,
    {
        let mut builder = DigestBuilder::new(self.limits);
        self.walk(source, |entry, data| builder.add(entry, data))?;
        Ok(builder.finish())
    }

    fn walk<R>(
        &self,
        source: R,
        mut each: impl FnMut(&crate::archive::Entry, &mut dyn Read) -> Result<()>,
    ) -> Result<()>
    where
        R: Read + Send + 'static,
    {
        let read = Arc::new(AtomicU64::new(0));
        let source = Counted {
            source,
            read: Arc::clone(&read),
        };
        let mut reader = Reader::open(source, self.format, self.limits, self.checks)?;
        // The file is read ahead by another thread: how much of it was read says nothing of how
        // much there is to do. An archive of many small things and one of a single large thing are
        // both stopped within a blink.
        let mut steps = 0_u64;
        while let Some(entry) = reader.next_entry()? {
            if steps.is_multiple_of(ENTRIES) {
                self.tell(read.load(Ordering::Relaxed))?;
            }
            steps += 1;
            let mut data = Watched {
                reader: &mut reader,
                left: STEP,
                tell: || self.tell(read.load(Ordering::Relaxed)),
            };
            each(&entry, &mut data)?;
        }
        reader.finish()?;
        self.tell(read.load(Ordering::Relaxed))
    }

    fn tell(&self, read: u64) -> Result<()> {
        let event = Event {
            subject: self.subject,
            what: What::Unpacking {
                read,
                total: self.total,
            },
        };
        match self.observer.on(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(Kind::Cancelled, "stopped while unpacking")),
        }
    }
}

/// Unpacks an archive to `target` in one call, with default limits: see [`Unpacker`].
///
/// # Errors
/// As [`Unpacker::unpack`].
pub fn unpack<R>(
    source: R,
    format: Format,
    target: &Path,
    policy: &Policy,
    observer: &dyn Observer,
) -> Result<Report>
where
    R: Read + Send + 'static,
{
    let subject = target.to_string_lossy();
    Unpacker::new(&subject, format, observer).unpack(source, target, policy.clone())
}

/// What the name of a file, or else its first bytes, say of its format. The file is read from its
/// start again afterwards.
///
/// # Errors
/// [`Kind::Format`] if it is no archive that we know.
pub fn format_of(file: &mut File, name: &str) -> Result<Format> {
    if let Some(format) = Format::of_file_name(name) {
        return Ok(format);
    }
    let unknown = |why: &str| {
        let message = format!("{name}: {why}");
        Err(Error::new(Kind::Format, message))
    };
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    if ["qcow2", "img", "raw", "vmdk", "vhd", "vhdx", "iso"].contains(&extension.as_str()) {
        return unknown("it is a disk image and not an archive");
    }
    // `.wsl` is a tar in whatever compression its maker liked.
    let mut start = Vec::new();
    let look = |file: &mut File, start: &mut Vec<u8>| -> io::Result<()> {
        file.by_ref()
            .take(Format::MAGIC as u64)
            .read_to_end(start)?;
        file.rewind()
    };
    look(file, &mut start).map_err(|error| Error::local("cannot read", name, error))?;
    match Format::of_magic(&start) {
        Some(format) => Ok(format),
        None => unknown("neither its name nor its first bytes say that it is an archive"),
    }
}

/// Counts what is read of a file, from another thread.
struct Counted<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The data of an entry; looks at the observer now and then.
struct Watched<R, F> {
    reader: R,
    left: usize,
    tell: F,
}

impl<R: Read, F: Fn() -> Result<()>> Read for Watched<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        if let Some(left) = self.left.checked_sub(n) {
            self.left = left;
        } else {
            self.left = STEP;
            (self.tell)().map_err(io::Error::other)?;
        }
        Ok(n)
    }
}

/// How many bytes of an entry are written between two looks at the observer.
const STEP: usize = 4 << 20;

/// How many entries are.
const ENTRIES: u64 = 32;
