//! Images that were planned: flat ones, those of layers, and those that only point at layers.

use std::fs::File;
use std::path::Path;

use super::home::{Holder, Placed};
use super::inode::Layout;
use super::plan::Plan;
use super::{Options, Small, Summary, writer};
use crate::error::{Error, Result};
use crate::event::Observer;
use crate::fsimg::{Uuid, vmdk};
use crate::sys;
use crate::tree::{Layer, Merged, NodeId, Tree};

/// An image of which it is known where everything will be.
#[derive(Debug)]
pub struct Image<'a> {
    tree: &'a Tree,
    plan: Plan,
    uuid: Option<Uuid>,
}

/// Where the contents of one layer's files are in its image: all that is needed of it to point at
/// them.
#[derive(Clone, Debug)]
pub struct Placement {
    /// By the number of the thing in the layer.
    files: Vec<Option<Placed>>,
    blocks: u32,
}

/// What was written of a layered image.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Layered {
    /// The merged tree, which points at the layers.
    pub meta: Summary,
    /// The names of all files, the descriptor first, then the merged tree's, then the layers'.
    pub names: Vec<String>,
}

impl<'a> Image<'a> {
    /// Plans an image of a whole tree.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::error::Kind::Format) for what EROFS cannot say.
    pub fn flat(tree: &'a Tree, options: &Options) -> Result<Self> {
        Self::plan(tree, &Holder::Itself(options.small), options)
    }

    /// Plans the image of one layer, as [`Layer::overlay`] says it.
    ///
    /// # Errors
    /// As [`flat`](Self::flat).
    pub fn of_layer(overlay: &'a Tree, options: &Options) -> Result<Self> {
        Self::plan(overlay, &Holder::Itself(Small::Blocks), options)
    }

    /// Plans an image of merged layers that has no content of its own: the images of these layers,
    /// the lowest first, have it.
    ///
    /// # Errors
    /// As [`flat`](Self::flat).
    pub fn of_layers(merged: &'a Merged, layers: &[Placement], options: &Options) -> Result<Self> {
        let blocks: Vec<_> = layers.iter().map(|it| it.blocks).collect();
        let placed = |id: NodeId| {
            let (layer, there) = merged.origins.get(id.index()).copied().flatten()?;
            let placed = layers.get(layer)?.files.get(there.index()).copied()??;
            let device = u16::try_from(layer + 1).ok()?;
            Some(Placed { device, ..placed })
        };
        Self::plan(&merged.tree, &Holder::Others(&blocks, &placed), options)
    }

    fn plan(tree: &'a Tree, holder: &Holder<'_>, options: &Options) -> Result<Self> {
        Ok(Self {
            tree,
            plan: Plan::new(tree, holder, options)?,
            uuid: options.uuid,
        })
    }

    /// How long the image will be.
    pub fn bytes(&self) -> u64 {
        self.plan.bytes()
    }

    /// Where the contents are, for [`of_layers`](Self::of_layers).
    pub fn placement(&self) -> Placement {
        let inline = |placed: &Placed| placed.layout != Layout::Inline;
        let files = (0..self.plan.slots.len()).map(|at| self.plan.placed(at).filter(inline));
        Placement {
            files: files.collect(),
            blocks: self.plan.superblock.blocks,
        }
    }

    /// Writes it into an open file, in the place of what was in it.
    ///
    /// # Errors
    /// As [`write`](super::write()).
    pub fn write(&self, output: &File, observer: &dyn Observer, subject: &str) -> Result<Summary> {
        writer::write(self.tree, &self.plan, self.uuid, output, observer, subject)
    }
}

/// Writes the images of layers, the lowest first, that of what they make together, and a descriptor
/// of them all into a directory: `layer-0.erofs` and so on, `fsmeta.erofs`, `image.vmdk`. Options
/// are those of the merged tree; images of layers depend on their layers alone.
///
/// # Errors
/// As [`write`](super::write()), also if a name is taken.
pub fn layered(
    layers: &[Layer],
    folder: &Path,
    options: &Options,
    observer: &dyn Observer,
    subject: &str,
) -> Result<Layered> {
    layered_with(
        layers,
        folder,
        options,
        observer,
        subject,
        &|_, image, path| image.write(&create(path)?, observer, subject).map(|_| ()),
    )
}

/// The same, where somebody else leaves the image of each layer at its path: who has it already
/// need not write it. Several are asked for at once.
///
/// # Errors
/// As [`layered`], and the first of `leave`.
pub fn layered_with(
    layers: &[Layer],
    folder: &Path,
    options: &Options,
    observer: &dyn Observer,
    subject: &str,
    leave: &(dyn Fn(usize, &Image<'_>, &Path) -> Result<()> + Sync),
) -> Result<Layered> {
    let mut names = vec!["image.vmdk".to_owned(), "fsmeta.erofs".to_owned()];
    names.extend((0..layers.len()).map(|at| format!("layer-{at}.erofs")));
    let part = |at: usize, (): &mut ()| {
        let tree = layers[at].overlay()?;
        let image = Image::of_layer(&tree, &Options::default())?;
        leave(at, &image, &folder.join(&names[2 + at]))?;
        Ok((image.placement(), image.bytes()))
    };
    let parts = sys::each(layers.len(), sys::processors(), part);
    let parts: Vec<_> = parts.into_iter().collect::<Result<_>>()?;
    let (placements, bytes): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let merged = Layer::merge(layers)?;
    let image = Image::of_layers(&merged, &placements, options)?;
    let meta = image.write(&create(&folder.join(&names[1]))?, observer, subject)?;
    let sizes = std::iter::once(meta.bytes).chain(bytes);
    let files: Vec<_> = names[1..].iter().map(String::as_str).zip(sizes).collect();
    let text = vmdk::descriptor(&files)?;
    std::io::Write::write_all(&mut create(&folder.join(&names[0]))?, text.as_bytes())
        .map_err(|error| Error::local("cannot write", folder.join(&names[0]), error))?;
    Ok(Layered { meta, names })
}

fn create(path: &Path) -> Result<File> {
    sys::create_public(path).map_err(|error| Error::local("cannot create", path, error))
}
