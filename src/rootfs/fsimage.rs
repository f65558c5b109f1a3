//! From any source to the image of a file system.

use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::source::{Opening, Source};
use crate::archive::Time;
use crate::base::Digest;
use crate::error::{Error, Kind, Result};
use crate::fsimg::{Uuid, erofs, ext4};
use crate::sys::{self, Draft, Overwrite};
use crate::tree::{Addition, Tree};

/// Which file system, and what it is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4, which guests write to.
    Ext4(ext4::Options),
    /// EROFS, which nobody writes to.
    Erofs(erofs::Options),
}

impl FileSystem {
    /// The word of `--to`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ext4(_) => "ext4",
            Self::Erofs(_) => "erofs",
        }
    }
}

/// How an image is made of a tree.
#[derive(Clone, Debug)]
pub struct Imaging {
    /// The file system.
    pub system: FileSystem,
    /// Files of this machine that go into it.
    pub add: Vec<Addition>,
    /// The time of what is added; the newest of the tree without.
    pub time: Option<Time>,
    /// Whether somebody wants to know what the image hashes to: it is read once more then.
    pub hash: bool,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Imaged {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of the image.
    pub size: u64,
    /// Its UUID.
    pub uuid: Uuid,
    /// Things in it.
    pub inodes: u64,
    /// SHA-256 of the whole image, if it was asked for.
    pub sha256: Option<Digest>,
    /// What the file system cannot say: a line each.
    pub lost: Vec<String>,
}

impl Imaged {
    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "size": self.size,
            "uuid": self.uuid.to_string(),
            "inodes": self.inodes,
            "sha256": self.sha256.map(|it| it.to_string()),
            "lost": self.lost,
        })
    }
}

impl Imaging {
    /// Writes the image of a tree into an open file, in the place of what was in it.
    ///
    /// # Errors
    /// As [`ext4::write`] and [`erofs::write`](erofs::write()), and [`Tree::with_files`].
    pub fn write(
        &self,
        tree: Tree,
        output: &File,
        path: &Path,
        opening: Opening<'_>,
    ) -> Result<Imaged> {
        let tree = tree.with_files(&self.add, self.time, opening.limits)?;
        let subject = path.to_string_lossy();
        let (uuid, inodes, lost) = match &self.system {
            FileSystem::Ext4(options) => {
                let made = ext4::write(&tree, output, options, opening.observer, &subject)?;
                let losses = made.report.losses();
                let lost = losses.map(|(loss, count)| format!("{count} × {}", loss.as_str()));
                (made.uuid, made.inodes - made.free_inodes, lost.collect())
            }
            FileSystem::Erofs(options) => {
                let made = erofs::write(&tree, output, options, opening.observer, &subject)?;
                let count = made.xattrs_left_out;
                let lost = (count > 0).then(|| format!("{count} × xattr"));
                (made.uuid, made.inodes, lost.into_iter().collect())
            }
        };
        let cannot = |error| Error::local("cannot read", path, error);
        let hash = || hash(output, || opening.tell(&subject, 0, None));
        let sha256 = self.hash.then(hash).transpose()?;
        Ok(Imaged {
            path: path.to_owned(),
            size: output.metadata().map_err(cannot)?.len(),
            uuid,
            inodes,
            sha256,
            lost,
        })
    }
}

impl Source {
    /// Leaves the image of a file system at `target`. The name appears when it is whole; that it is
    /// there with the right content is success.
    ///
    /// # Errors
    /// As [`Source::tree`] and [`Imaging::write`]; [`Kind::Local`] if something has the name and
    /// may not be replaced.
    pub fn to_image(
        &self,
        target: &Path,
        imaging: &Imaging,
        overwrite: Overwrite,
        opening: Opening<'_>,
    ) -> Result<Imaged> {
        let target = std::path::absolute(target)
            .map_err(|error| Error::local("cannot write", target, error))?;
        let cannot = |error| Error::local("cannot write", &target, error);
        // First, so that a target that cannot be is told at once.
        let draft = Draft::beside(&target).map_err(cannot)?;
        let made = imaging
            .write(self.tree(opening)?, draft.file(), &target, opening)
            .map_err(|error| error.about(&target.to_string_lossy()))?;
        if overwrite == Overwrite::No && sys::exists(&target) {
            let there = sys::open_regular(&target).ok();
            let there = there.filter(|it| it.metadata().is_ok_and(|it| it.len() == made.size));
            let tell = || opening.tell("", 0, None);
            let same = match there {
                Some(file) => {
                    let ours = match made.sha256 {
                        Some(known) => known,
                        None => hash(draft.file(), tell)?,
                    };
                    hash(&file, tell)? == ours
                }
                None => false,
            };
            return if same {
                Ok(made)
            } else {
                Err(Draft::in_the_way(&target))
            };
        }
        draft.commit(overwrite)?;
        Ok(made)
    }
}

/// The SHA-256 of a file from its beginning to its end.
pub(super) fn hash(mut file: &File, mut tell: impl FnMut() -> Result<()>) -> Result<Digest> {
    let cannot = |error| Error::new(Kind::Local, "cannot read what was made").with_source(error);
    file.rewind().map_err(cannot)?;
    crate::io::hash(file, cannot, |_| tell())
}
