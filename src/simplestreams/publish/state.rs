//! What a run knows from the one before: `ROOT/.publish.state`.
//!
//! Lines of words with single spaces between, sorted by path. None of the words has a space in it.
//!
//! ```text
//! distro-fetch publish 1
//! index SHA256                                     of the images.json that was to be written next
//! retired SECONDS PATH                             when an index last named a version that no index names
//! folder PATH [named]                              a version; whether the index names it
//! file SIZE MTIME CTIME INODE SHA256 NAME [META=COMBINED]…
//! about JSON                                       what the file before says of its product
//! end SHA256                                       of everything above
//! ```
//!
//! Times of files are `SECONDS.NANOSECONDS`; `META` is the SHA-256 of a metadata tarball and
//! `COMBINED` the one of that tarball with the file behind it. A hash counts only for a file whose
//! size, times and inode are those of the line: also a file that replaces another and has its
//! `mtime` set back has a new `ctime`.
//!
//! Nothing is lost with this file but time: whatever is not exactly as described (torn, of another
//! version, writable for others, owned by somebody else) is as if it were not there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::AsFd;

use sha2::{Digest as _, Sha256};

use super::about::About;
use super::build::{Hashed, Mark};
use super::document;
use super::hash::digest;
use super::item::Role;
use crate::base::Digest;
use crate::sys::{self, FileKind};

/// What is known.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Versions by their paths.
    pub(super) folders: BTreeMap<String, Folder>,
    /// When an index last named versions that it names no more: seconds since 1970.
    pub(super) retired: BTreeMap<String, i64>,
    /// The images.json that goes with it.
    pub(super) index: Option<Digest>,
    /// Its own hash, as it was read.
    pub(super) sha256: Option<Digest>,
}

/// A version.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Whether the index names it.
    pub(super) named: bool,
    pub(super) files: Vec<Hashed>,
}

impl State {
    /// Reads it, if it is there and can be trusted.
    pub(super) fn load(root: impl AsFd) -> Self {
        let trusted = sys::look(&root, NAME.as_bytes()).is_ok_and(|seen| {
            let me = rustix::process::geteuid().as_raw();
            let ours = seen.uid == me || seen.uid == 0;
            seen.kind == FileKind::File && ours && seen.mode & 0o022 == 0
        });
        let bytes = trusted.then(|| document::read(&root, NAME, MAX_STATE));
        let parsed = bytes.and_then(|bytes| Self::parse(&bytes.ok()??));
        parsed.unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (before, end) = text.strip_suffix('\n')?.rsplit_once("\nend ")?;
        let body = &text[..=before.len()];
        let sha256: Digest = end.parse().ok()?;
        if digest(Sha256::new_with_prefix(body)) != sha256 {
            return None;
        }
        let mut state = Self {
            sha256: Some(sha256),
            ..Self::default()
        };
        let mut lines = body.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let mut here: Option<&mut Folder> = None;
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "index" => state.index = Some(rest.parse().ok()?),
                "retired" => {
                    let (time, path) = rest.split_once(' ')?;
                    state.retired.insert(path.to_owned(), time.parse().ok()?);
                }
                "folder" => {
                    let path = rest.strip_suffix(" named").unwrap_or(rest);
                    let folder = state.folders.entry(path.to_owned()).or_default();
                    folder.named = path.len() < rest.len();
                    here = Some(folder);
                }
                "file" => here.as_mut()?.files.push(file(rest)?),
                "about" => {
                    here.as_mut()?.files.last_mut()?.about = Some(Box::new(About::parse(rest)?));
                }
                _ => return None,
            }
        }
        Some(state)
    }

    /// The document. Hashes that may not be those of a file that looks the same are left out.
    pub(super) fn render(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(index) = &self.index {
            let _ = writeln!(text, "index {index}");
        }
        for (path, time) in &self.retired {
            let _ = writeln!(text, "retired {time} {path}");
        }
        for (path, folder) in &self.folders {
            let named = if folder.named { " named" } else { "" };
            let _ = writeln!(text, "folder {path}{named}");
            for file in folder.files.iter().filter(|file| file.settled) {
                let Mark {
                    size,
                    mtime,
                    ctime,
                    inode,
                } = file.mark;
                let _ = write!(
                    text,
                    "file {size} {}.{:09} {}.{:09} {inode} {} {}",
                    mtime.0, mtime.1, ctime.0, ctime.1, file.sha256, file.name
                );
                for (metadata, combined) in &file.combined {
                    let _ = write!(text, " {metadata}={combined}");
                }
                text.push('\n');
                if let Some(about) = &file.about {
                    let _ = writeln!(text, "about {}", about.to_json());
                }
            }
        }
        let end = digest(Sha256::new_with_prefix(&text));
        let _ = writeln!(text, "end {end}");
        text
    }
}

fn file(line: &str) -> Option<Hashed> {
    let mut words = line.split(' ');
    let mark = Mark {
        size: words.next()?.parse().ok()?,
        mtime: time(words.next()?)?,
        ctime: time(words.next()?)?,
        inode: words.next()?.parse().ok()?,
    };
    let sha256 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let combined = words.map(|pair| {
        let (metadata, combined) = pair.split_once('=')?;
        Some((metadata.parse().ok()?, combined.parse().ok()?))
    });
    Some(Hashed {
        name: name.to_owned(),
        role: Role::of(name)?,
        mark,
        settled: true,
        sha256,
        combined: combined.collect::<Option<_>>()?,
        about: None,
    })
}

fn time(text: &str) -> Option<(i64, u32)> {
    let (seconds, nanos) = text.split_once('.')?;
    Some((seconds.parse().ok()?, nanos.parse().ok()?))
}

/// Its name in the root.
pub(super) const NAME: &str = ".publish.state";

const HEADER: &str = "distro-fetch publish 1";

/// Some 400,000 versions.
const MAX_STATE: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let digest = |byte| Digest::from_bytes([byte; 32]);
        let file = |name: &str, settled| Hashed {
            name: name.to_owned(),
            role: Role::of(name).unwrap(),
            mark: Mark {
                size: 5,
                mtime: (-1, 7),
                ctime: (1_700_000_000, 999_999_999),
                inode: u64::MAX,
            },
            settled,
            sha256: digest(1),
            combined: vec![(digest(2), digest(3)), (digest(4), digest(5))],
            about: Some(Box::new(About {
                release_title: Some("a \"b\" c".to_owned()),
                aliases: Some(vec!["a/b".to_owned(), "c".to_owned()]),
                ..About::default()
            })),
        };
        State {
            folders: BTreeMap::from([(
                "images/a/b/amd64/c/20260128_13:00".to_owned(),
                Folder {
                    named: true,
                    files: vec![file("incus.tar.xz", true), file("root.tar.xz", false)],
                },
            )]),
            retired: BTreeMap::from([("images/x".to_owned(), -5)]),
            index: Some(digest(6)),
            sha256: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = state().render();
        let read = State::parse(text.as_bytes()).unwrap();
        let folder = &read.folders["images/a/b/amd64/c/20260128_13:00"];
        assert!(folder.named);
        assert_eq!(folder.files.len(), 1, "one of them was not settled");
        assert_eq!(read.retired, state().retired);
        assert_eq!(read.render(), text);
        assert_eq!(
            folder.files[0],
            state().folders.pop_first().unwrap().1.files[0]
        );
    }

    #[test]
    fn what_is_not_exactly_so_is_nothing() {
        let text = state().render();
        for at in 0..text.len() {
            assert!(
                State::parse(&text.as_bytes()[..at]).is_none(),
                "torn at {at}"
            );
            let mut bent = text.clone().into_bytes();
            bent[at] ^= 1;
            assert!(State::parse(&bent).is_none(), "bent at {at}");
        }
        let seal = |body: &str| format!("{body}end {}\n", digest(Sha256::new_with_prefix(body)));
        assert!(State::parse(seal("distro-fetch publish 1\n").as_bytes()).is_some());
        for body in [
            "distro-fetch publish 2\n",
            "distro-fetch publish 1\nwhat is this\n",
            "distro-fetch publish 1\nabout {}\n",
            "distro-fetch publish 1\nfolder a\nabout {}\n",
            "distro-fetch publish 1\nfolder a\nfile 1 1.0 1.0 1 zz incus.tar.xz\n",
            "distro-fetch publish 1\nretired soon a\n",
        ] {
            assert!(State::parse(seal(body).as_bytes()).is_none(), "{body}");
        }
    }
}
