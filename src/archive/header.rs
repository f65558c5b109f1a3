//! What a header means, together with the headers before it.

use super::block::{Block, Dialect};
use super::entry::{Device, Entry, Kind, Limits, Time};
use super::pax::{Records, show};
use super::sparse::Place;

/// What headers have said of an entry that follows them.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// GNU `L`.
    pub(super) name: Option<Vec<u8>>,
    /// GNU `K`.
    pub(super) link: Option<Vec<u8>>,
    /// PAX `x`.
    pub(super) records: Option<Records>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.records.is_none()
    }
}

/// What a header is. Sizes are bytes of the data behind it.
pub(super) enum Header {
    /// An entry.
    Entry(Box<Entry>, u64),
    /// A sparse file whose map is at the start of its data.
    Place(Box<Entry>, u64),
    /// The name of the next entry.
    LongName(u64),
    /// The link text of the next entry.
    LongLink(u64),
    /// Records for the next entry.
    Extended(u64),
    /// Records for all entries that follow.
    Global(u64),
    /// The name of the volume: nothing that is kept.
    Label(u64),
}

impl Header {
    /// Reads a header; an entry takes what is pending.
    pub(super) fn read(
        block: &Block,
        pending: &mut Pending,
        global: &Records,
        limits: &Limits,
    ) -> Result<Self, String> {
        let posix = matches!(block.dialect(), Dialect::Ustar | Dialect::Star);
        match block.flag() {
            b'L' if pending.name.is_some() => Err("two long names for one entry".to_owned()),
            b'K' if pending.link.is_some() => Err("two long link texts for one entry".to_owned()),
            b'L' => Ok(Self::LongName(block.size()?)),
            b'K' => Ok(Self::LongLink(block.size()?)),
            // `X` is Sun's spelling of `x`, from before the standard.
            b'x' | b'X' | b'g' if !posix => {
                Err("an extended header in a tar from before there were any".to_owned())
            }
            b'x' | b'X' if pending.records.is_some() => {
                Err("two extended headers for one entry".to_owned())
            }
            b'x' | b'X' => Ok(Self::Extended(block.size()?)),
            b'g' | b'V' if !pending.is_empty() => {
                Err("a header between an entry and what was said of it".to_owned())
            }
            b'g' => Ok(Self::Global(block.size()?)),
            b'V' => Ok(Self::Label(block.size()?)),
            b'M' => Err("archives in several volumes are not supported".to_owned()),
            _ => {
                let Pending {
                    name,
                    link,
                    records,
                } = std::mem::take(pending);
                if block.dialect() == Dialect::V7 && records.is_some() {
                    return Err("an extended header for an entry of an older kind".to_owned());
                }
                let said = records.unwrap_or_default().or(global);
                Self::entry(block, name, link, said, limits)
            }
        }
    }

    fn entry(
        block: &Block,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        mut said: Records,
        limits: &Limits,
    ) -> Result<Self, String> {
        let place = said.sparse.place()?;
        if long_name.is_some() && (said.path.is_there() || said.sparse.name.is_some()) {
            return Err("two names, one of GNU's kind and one of POSIX's".to_owned());
        }
        if long_link.is_some() && said.link.is_there() {
            return Err("two link texts, one of GNU's kind and one of POSIX's".to_owned());
        }
        // The fields are read even where something else was said: a header is sound or it is not.
        let (plain_name, plain_link) = (block.name()?, block.link()?);
        let mut path = said.sparse.name.or(long_name).or(said.path.value());
        let path = path.get_or_insert(plain_name);
        let link = long_link.or(said.link.value());
        let link = link.unwrap_or_else(|| plain_link.to_vec());
        let plain_size = block.size()?;
        let archived = said.size.value().unwrap_or(plain_size);
        let (uid, gid) = (block.uid()?, block.gid()?);
        let seconds = block.mtime()?;

        // BSD's tar marked directories by a slash at their names; all later programs still do.
        let slash = path.ends_with(b"/");
        let kind = match block.flag() {
            b'0' | 0 | b'7' if slash && place == Place::None => Kind::Directory,
            b'S' if block.dialect() != Dialect::Gnu || place != Place::None => {
                return Err("a sparse file of an unknown kind".to_owned());
            }
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::Hardlink(link),
            b'2' => Kind::Symlink(link),
            b'3' => Kind::Character(device(block, said.major, said.minor)?),
            b'4' => Kind::Block(device(block, said.major, said.minor)?),
            // A directory of an incremental dump: its data lists what was in it.
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            flag => {
                let name = show(path);
                return Err(format!(
                    "{name} is of the unknown type '{}'",
                    flag.escape_ascii()
                ));
            }
        };
        let dump = block.flag() == b'D';
        let is_file = kind == Kind::File;
        if !is_file && !dump && archived != 0 {
            // Some programs skip so many bytes, others none: each finds other entries behind it.
            let name = show(path);
            return Err(format!(
                "{name} has {archived} bytes of data, but is no file"
            ));
        }
        if kind == Kind::Directory {
            trim(path);
        } else if !is_file && place != Place::None || is_file && slash {
            return Err(format!("{} is no file, and yet one", show(path)));
        }
        let mut entry = Box::new(Entry {
            path: std::mem::take(path),
            kind,
            mode: block.mode()?,
            uid: said.uid.value().unwrap_or(uid),
            gid: said.gid.value().unwrap_or(gid),
            mtime: said.mtime.value().unwrap_or(Time { seconds, nanos: 0 }),
            size: if is_file { archived } else { 0 },
            xattrs: said.xattrs,
            extents: None,
        });
        judge(&entry, limits)?;
        match place {
            Place::None => Ok(Self::Entry(entry, archived)),
            Place::Here(size, map) => {
                (entry.size, entry.extents) = (size, Some(map));
                Ok(Self::Entry(entry, archived))
            }
            Place::InData(size) => {
                entry.size = size;
                Ok(Self::Place(entry, archived))
            }
        }
    }
}

/// Checks an entry against the limits, and its names for being there at all.
pub(super) fn judge(entry: &Entry, limits: &Limits) -> Result<(), String> {
    let link = match &entry.kind {
        Kind::Symlink(text) | Kind::Hardlink(text) => Some(text),
        _ => None,
    };
    if entry.path.is_empty() {
        return Err("an entry without a name".to_owned());
    }
    if link.is_some_and(Vec::is_empty) {
        return Err(format!("{} links to nothing", show(&entry.path)));
    }
    for name in [Some(&entry.path), link].into_iter().flatten() {
        if name.len() > limits.name {
            let (length, limit) = (name.len(), limits.name);
            return Err(format!("a name of {length} bytes: the limit is {limit}"));
        }
    }
    let parts = entry.path.split(|byte| *byte == b'/');
    let depth = parts.filter(|part| !matches!(*part, b"" | b".")).count();
    if depth > limits.depth {
        let limit = limits.depth;
        return Err(format!(
            "a path of {depth} components: the limit is {limit}"
        ));
    }
    if entry.size > limits.bytes {
        let (name, size, limit) = (show(&entry.path), entry.size, limits.bytes);
        return Err(format!("{name} is {size} bytes long: the limit is {limit}"));
    }
    Ok(())
}

fn device(block: &Block, major: Option<u32>, minor: Option<u32>) -> Result<Device, String> {
    let plain = block.device()?;
    Ok(Device {
        major: major.unwrap_or(plain.major),
        minor: minor.unwrap_or(plain.minor),
    })
}

/// A directory's name without the slashes at its end; `/` stays.
fn trim(path: &mut Vec<u8>) {
    while path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
}
