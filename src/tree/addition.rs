//! Files of this machine that go into a tree: an init, keys.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::builder::LayerBuilder;
use super::layer::{Dialect, Layer};
use super::node::{Body, Marks, Thing, Tree};
use super::path::{SafePath, shown};
use super::source::Source;
use crate::archive::{Entry, Kind as What, Limits, Time};
use crate::error::{Error, Kind, Result};
use crate::sys;

/// A regular file of this machine, and where it goes: `HOST_PATH:GUEST_PATH[:MODE]`.
///
/// ```
/// use distro_fetch::tree::Addition;
///
/// let addition: Addition = "build/init:/sbin/init:0755".parse()?;
/// assert_eq!(addition.to, b"sbin/init");
/// assert_eq!(addition.mode, Some(0o755));
/// # Ok::<(), distro_fetch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// Where it is on this machine; symbolic links are followed.
    pub from: PathBuf,
    /// Its path in the tree, components joined by `/`.
    pub to: Vec<u8>,
    /// Its mode; 0755 for what somebody may run on this machine, 0644 for anything else.
    pub mode: Option<u32>,
}

impl FromStr for Addition {
    type Err = Error;

    /// The path in the tree is absolute; colons before it belong to the path on this machine.
    fn from_str(text: &str) -> Result<Self> {
        let (rest, mode) = match text.rsplit_once(':') {
            Some((rest, digits))
                if matches!(digits.len(), 3 | 4)
                    && digits.bytes().all(|it| matches!(it, b'0'..=b'7')) =>
            {
                (rest, u32::from_str_radix(digits, 8).ok())
            }
            _ => (text, None),
        };
        let parts = rest.rsplit_once(":/").filter(|(from, _)| !from.is_empty());
        let Some((from, to)) = parts else {
            let message = format!("{text:?} is not HOST_PATH:/GUEST_PATH[:MODE]");
            return Err(Error::new(Kind::Format, message));
        };
        let to = SafePath::parse(to.trim_start_matches('/').as_bytes(), &Limits::default())?;
        Ok(Self {
            from: from.into(),
            to: to.into_bytes(),
            mode,
        })
    }
}

impl Tree {
    /// The tree with these files in it, which belong to 0:0 and have this time, or the newest one
    /// of the tree. What has their names is replaced, unless it is a directory; directories that
    /// they need are made, with mode 0755. Links on the way are followed, inside the tree: on a
    /// system with a merged `/usr`, `/sbin/init` comes to be in `/usr/sbin`.
    ///
    /// # Errors
    /// [`Kind::Local`] if a file cannot be opened; [`Kind::Format`] if it cannot be where it is to
    /// be.
    pub fn with_files(
        self,
        additions: &[Addition],
        time: Option<Time>,
        limits: Limits,
    ) -> Result<Self> {
        if additions.is_empty() {
            return Ok(self);
        }
        let newest = self.records.iter().map(|it| it.mtime).max();
        let mtime = time.or(newest).unwrap_or_default();
        let mut builder = LayerBuilder::new(Dialect::Plain, limits);
        let mut sources = Vec::new();
        for addition in additions {
            let cannot = |error| Error::local("cannot read", &addition.from, error);
            let file = sys::open_regular_through_links(&addition.from).map_err(cannot)?;
            let meta = file.metadata().map_err(cannot)?;
            let runs = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o111 != 0;
            let usual = if runs { 0o755 } else { 0o644 };
            let path = self.place(&addition.to)?;
            for end in path.iter().enumerate().filter(|(_, it)| **it == b'/') {
                let parent = &path[..end.0];
                if self.find(parent).is_none() {
                    let entry = entry(parent, What::Directory, 0o755, 0, mtime);
                    builder.add(&entry, (0, 0))?;
                }
            }
            let mode = addition.mode.unwrap_or(usual);
            let entry = entry(&path, What::File, mode, meta.len(), mtime);
            let source = u32::try_from(sources.len()).unwrap_or(u32::MAX);
            builder.add(&entry, (source, 0))?;
            sources.push(Source::file(Arc::new(file)));
        }
        let layers = [self.into_layer(), builder.finish(sources)];
        Ok(Layer::merge(&layers)?.tree)
    }

    /// Where a path is when links on the way are followed; its last name is not.
    fn place(&self, path: &[u8]) -> Result<Vec<u8>> {
        let refuse = |why: &str| {
            let message = format!("{}: {why}", shown(path));
            Err(Error::new(Kind::Format, message))
        };
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|it| *it == b'/')
                .rev()
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut left = parts(path);
        let last = left.remove(0);
        let (mut here, mut links) = (Vec::<Vec<u8>>::new(), 0);
        while let Some(name) = left.pop() {
            match &name[..] {
                b"" | b"." => continue,
                b".." => {
                    here.pop();
                    continue;
                }
                _ => here.push(name),
            }
            match self.find(&here.join(&b'/')).map(|node| node.thing()) {
                None | Some(Thing::Folder) => {}
                Some(Thing::Symlink(text)) => {
                    links += 1;
                    if links > LINKS {
                        return refuse("links on the way lead in circles");
                    }
                    here.pop();
                    if text.starts_with(b"/") {
                        here.clear();
                    }
                    left.extend(parts(text));
                }
                Some(_) => return refuse("something on the way is no directory"),
            }
        }
        here.push(last);
        let path = here.join(&b'/');
        if self.find(&path).is_some_and(|node| node.is_folder()) {
            return refuse("a directory has this name");
        }
        Ok(path)
    }

    /// A layer that says all of the tree, and nothing of what is below.
    fn into_layer(mut self) -> Layer {
        for record in &mut self.records {
            if let Body::Folder { marks, .. } = &mut record.body {
                *marks = Marks {
                    named: true,
                    real: true,
                    opaque: false,
                };
            }
        }
        Layer {
            tree: self,
            plain: true,
        }
    }
}

fn entry(path: &[u8], kind: What, mode: u32, size: u64, mtime: Time) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime,
        size,
        xattrs: std::collections::BTreeMap::new(),
        extents: None,
    }
}

/// Links on the way to a file, as many as the kernel follows.
const LINKS: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, expect: Option<(&str, &str, Option<u32>)>| {
            let got = text.parse::<Addition>().ok();
            let expect = expect.map(|(from, to, mode)| Addition {
                from: from.into(),
                to: to.as_bytes().to_vec(),
                mode,
            });
            assert_eq!(got, expect, "{text}");
        };
        check("init:/sbin/init", Some(("init", "sbin/init", None)));
        check("a:b:/c:644", Some(("a:b", "c", Some(0o644))));
        check("a:/b:4755", Some(("a", "b", Some(0o4755))));
        check("a:/b:c", Some(("a", "b:c", None)));
        check("/a:/b/c:0888", Some(("/a", "b/c:0888", None)));
        for bad in ["", "a", "a:b", ":/b", "a:/../b", "a:/"] {
            check(bad, None);
        }
    }
}
