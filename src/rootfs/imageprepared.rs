//! Images of file systems in the cache, beside the file that they were made of.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::fsimage::{FileSystem, Imaged, Imaging, hash};
use super::kept::Kept;
use super::prepare::FOLDER;
use super::source::{Opening, Source};
use super::unpack::format_of;
use crate::archive::Time;
use crate::base::Digest;
use crate::cache::{Cache, Entry};
use crate::error::{Error, Result};
use crate::fsimg::{erofs, ext4};
use crate::sys::{self, Draft};

/// The image of a file system in the cache.
#[derive(Clone, Debug)]
pub struct PreparedImage {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was there before.
    pub cached: bool,
    /// What was made, as JSON: [`Imaged::to_json`].
    pub made: Value,
}

/// Everything that decides about the bytes of a prepared image, besides the verified file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecipe(FileSystem);

impl Entry {
    /// The image of a file system made of this entry, in the cache; made now if it is not there.
    ///
    /// # Errors
    /// As [`Source::to_image`]; [`Kind::Cancelled`](crate::Kind::Cancelled) while somebody else makes it.
    pub fn prepare_image(
        &self,
        cache: &Cache,
        system: &FileSystem,
        opening: Opening<'_>,
    ) -> Result<PreparedImage> {
        let recipe = ImageRecipe(system.clone());
        let kept = self.kept_image(&recipe);
        let asked = recipe.to_json();
        let found = |made| PreparedImage {
            path: kept.path(),
            cached: true,
            made,
        };
        if let Some(made) = kept.whole(&asked) {
            return Ok(found(made));
        }
        let record = self.record();
        let lock = self.lock(cache, opening.observer)?;
        if let Some(made) = kept.whole(&asked) {
            return Ok(found(made));
        }
        self.workshop()?;
        let made = kept
            .make(&asked, |file| {
                let made = self.image_into(file, kept.folder(), system, opening)?;
                let note = made.to_json();
                Ok((note.clone(), note))
            })
            .map_err(|error| error.about(&format!("{} {}", record.image, record.snapshot)))?;
        drop(lock);
        Ok(PreparedImage {
            path: kept.path(),
            cached: false,
            made,
        })
    }

    /// The prepared images that are there.
    pub fn prepared_images(&self) -> Vec<(ImageRecipe, PathBuf)> {
        let folder = self.folder().join(FOLDER);
        let names = sys::names(&folder).unwrap_or_default();
        let recipes = names.iter().filter_map(|name| {
            let file = if name.starts_with(EXT4) {
                EXT4_FILE
            } else if name.starts_with(EROFS) {
                EROFS_FILE
            } else {
                return None;
            };
            let kept = Kept::at(&folder, name, file);
            let recipe = ImageRecipe::of_json(&kept.recipe()?)?;
            (recipe.folder() == *name).then(|| (recipe, kept.path()))
        });
        recipes.collect()
    }

    /// Whether a prepared image is what the verified file gives: it is made once more, and both are
    /// hashed.
    ///
    /// # Errors
    /// As [`prepare_image`](Self::prepare_image).
    pub fn is_image_prepared_well(
        &self,
        recipe: &ImageRecipe,
        opening: Opening<'_>,
    ) -> Result<bool> {
        let kept = self.kept_image(recipe);
        let Some(note) = kept.whole(&recipe.to_json()) else {
            return Ok(false);
        };
        let cannot = |error| Error::local("cannot read", kept.path(), error);
        let there = sys::open_regular(&kept.path()).map_err(cannot)?;
        let found = hash(&there, || opening.tell(&self.record().image, 0, None))?;
        if note["sha256"] != found.to_string().as_str() {
            return Ok(false);
        }
        let again = Draft::beside(kept.folder()).map_err(cannot)?;
        let made = self.image_into(again.file(), kept.folder(), &recipe.0, opening)?;
        Ok(made.sha256 == Some(found))
    }

    /// Removes a prepared image, to be made again.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::Kind::Local).
    pub fn forget_image(&self, recipe: &ImageRecipe) -> Result<()> {
        self.kept_image(recipe).forget()
    }

    fn kept_image(&self, recipe: &ImageRecipe) -> Kept {
        let file = match recipe.0 {
            FileSystem::Ext4(_) => EXT4_FILE,
            FileSystem::Erofs(_) => EROFS_FILE,
        };
        Kept::at(&self.folder().join(FOLDER), &recipe.folder(), file)
    }

    fn image_into(
        &self,
        file: &File,
        folder: &Path,
        system: &FileSystem,
        opening: Opening<'_>,
    ) -> Result<Imaged> {
        let path = self.path();
        let format = match opening.format {
            Some(format) => format,
            None => format_of(&mut self.open()?, &self.record().file)?,
        };
        let imaging = Imaging {
            system: system.clone(),
            add: Vec::new(),
            time: None,
            hash: true,
        };
        // What has to be decoded lies beside what is made of it.
        let opening = Opening {
            spool: folder.parent().unwrap_or(folder),
            ..opening
        };
        let tree = Source::Archive(path.clone(), format).tree(opening)?;
        imaging.write(tree, file, &path, opening)
    }
}

impl ImageRecipe {
    /// The file system.
    pub fn system(&self) -> &FileSystem {
        &self.0
    }

    /// The name of its directory: what is not the default is in a digest.
    fn folder(&self) -> String {
        let (plain, default) = match &self.0 {
            FileSystem::Ext4(_) => (EXT4, FileSystem::Ext4(ext4::Options::default())),
            FileSystem::Erofs(_) => (EROFS, FileSystem::Erofs(erofs::Options::default())),
        };
        if self.0 == default {
            return plain.to_owned();
        }
        let text = self.to_json().to_string();
        let digest = Digest::from_bytes(Sha256::digest(text.as_bytes()).into());
        format!("{plain}-{}", digest.short())
    }

    fn to_json(&self) -> Value {
        match &self.0 {
            FileSystem::Ext4(it) => json!({
                "form": "ext4",
                "size": it.size,
                "label": it.label,
                "uuid": it.uuid.map(|it| it.to_string()),
                "inode_ratio": it.inode_ratio,
                "reserved": it.reserved.to_string(),
                "journal": it.journal,
                "epoch": it.epoch,
            }),
            FileSystem::Erofs(it) => json!({
                "form": "erofs",
                "label": it.volume,
                "uuid": it.uuid.map(|it| it.to_string()),
                "epoch": it.epoch.map(|it| it.seconds),
            }),
        }
    }

    fn of_json(note: &Value) -> Option<Self> {
        let label = note["label"].as_str()?.to_owned();
        let uuid = match note["uuid"].as_str() {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        Some(Self(match note["form"].as_str()? {
            "ext4" => FileSystem::Ext4(ext4::Options {
                size: note["size"].as_u64(),
                label,
                uuid,
                inode_ratio: note["inode_ratio"].as_u64()?,
                reserved: note["reserved"].as_str()?.parse().ok()?,
                journal: note["journal"].as_bool()?,
                epoch: note["epoch"].as_u64(),
            }),
            "erofs" => FileSystem::Erofs(erofs::Options {
                volume: label,
                uuid,
                epoch: note["epoch"]
                    .as_i64()
                    .map(|seconds| Time { seconds, nanos: 0 }),
                ..erofs::Options::default()
            }),
            _ => return None,
        }))
    }
}

/// Images of file systems. The numbers go up when the same archive gives other bytes than before.
const EXT4: &str = "ext4-1";
const EROFS: &str = "erofs-1";

/// The image in such a directory.
const EXT4_FILE: &str = "rootfs.ext4";
const EROFS_FILE: &str = "rootfs.erofs";
