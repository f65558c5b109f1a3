//! Docker's `overlay2` directories: one for each layer, and links from one to the next.
//!
//! `<root>/overlay2/<id>/` has `diff/`, which is the layer, and, if there are layers below it,
//! `lower`: their short names, nearest first, as `l/SHORT:l/SHORT…`. `<root>/overlay2/l/SHORT` is a
//! symbolic link to `../<id>/diff`.

use std::path::{Path, PathBuf};

use super::image::{Image, ImageLayer};
use crate::error::{Error, Kind, Result};
use crate::sys;

/// Whether a directory is one of a chain.
pub fn is_overlay_folder(path: &Path) -> bool {
    path.join("diff").is_dir() && path.join("link").is_file()
}

/// Opens a directory of a chain with all that are below it.
///
/// # Errors
/// [`Kind::Format`] if it is none, or the chain is broken; [`Kind::Local`].
pub fn open_overlay_folder(path: &Path) -> Result<Image> {
    let refuse = |why: String| {
        let message = format!("{}: {why}", path.display());
        Err(Error::new(Kind::Format, message))
    };
    let path_of =
        std::fs::canonicalize(path).map_err(|error| Error::local("cannot open", path, error))?;
    if !path_of.join("diff").is_dir() {
        return refuse("no directory of an overlay: it has no diff".to_owned());
    }
    let lower = path_of.join("lower");
    let mut layers = Vec::new();
    if sys::exists(&lower) {
        let file = sys::open_regular(&lower);
        let file = file.map_err(|error| Error::local("cannot read", &lower, error))?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_LOWER), &mut text)
            .map_err(|error| Error::local("cannot read", &lower, error))?;
        let Some(above) = path_of.parent() else {
            return refuse("no directory of an overlay".to_owned());
        };
        for name in text.trim_end().split(':').rev() {
            match resolve(above, name) {
                Some(folder) => layers.push(ImageLayer::Folder(folder)),
                None => return refuse(format!("its lower layer {name:?} is not there")),
            }
        }
        if layers.len() > MAX_LAYERS {
            return refuse(format!("more than {MAX_LAYERS} layers"));
        }
    }
    layers.push(ImageLayer::Folder(path_of.join("diff")));
    Ok(Image {
        name: path.display().to_string(),
        manifest: None,
        config: None,
        layers,
    })
}

/// The directory of a short name. It is beside the others, or nowhere.
fn resolve(above: &Path, name: &str) -> Option<PathBuf> {
    let short = name.strip_prefix("l/")?;
    if short.is_empty() || !short.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let text = std::fs::read_link(above.join("l").join(short)).ok()?;
    let id = text.to_str()?.strip_prefix("../")?.strip_suffix("/diff")?;
    let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if id.is_empty() || !id.bytes().all(sound) {
        return None;
    }
    let folder = above.join(id).join("diff");
    let real = std::fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir());
    real.then_some(folder)
}

/// More than a mount can have: the kernel takes 500.
const MAX_LAYERS: usize = 1_000;

/// Bytes of the list of lower layers: 28 for each.
const MAX_LOWER: u64 = 64 << 10;
