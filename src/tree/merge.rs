//! Layers, one on top of the other, become one tree.
//!
//! Layers are looked at all at once, a directory at a time and from the top: the topmost one that
//! has a name says what it is, and directories merge with those below them. That gives what
//! applying one after the other gives, and since a layer's whiteouts are marks of its names and
//! not steps, their place in its archive cannot matter.

use super::builder::folder_record;
use super::layer::Layer;
use super::node::{Body, Marks, NOTHING, Name, NodeId, Record, Tree};
use super::path::shown;
use super::shares::Shares;
use crate::error::{Error, Kind, Result};

/// What layers make together.
#[derive(Debug)]
pub struct Merged {
    /// The tree.
    pub tree: Tree,
    /// For each thing of it the layer that it is from, counted from the lowest, and its number
    /// there; `None` for directories that are only implied.
    pub origins: Vec<Option<(usize, NodeId)>>,
    /// Paths that were something else than a directory in a lower layer, and became one because a
    /// higher layer has something below them without saying that they are directories. On systems
    /// with a merged `/usr` that is mostly a mistake of the image's maker.
    pub forced: Vec<Forced>,
}

/// See [`Merged::forced`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forced {
    /// Components joined by `/`.
    pub path: Vec<u8>,
    /// The layer that did it, counted from the lowest.
    pub layer: usize,
}

impl Layer {
    /// Puts layers on top of each other, the lowest first. They are left as they are.
    ///
    /// # Errors
    /// [`Kind::Format`] if a hard link leads nowhere, or there is more than a tree can hold.
    pub fn merge(layers: &[Self]) -> Result<Merged> {
        let mut tree = Tree::bare();
        let mut bases = Vec::with_capacity(layers.len());
        for layer in layers {
            bases.push(u32::try_from(tree.sources.len()).unwrap_or(NOTHING));
            tree.sources.extend(layer.tree.sources.iter().cloned());
        }
        let shares = Shares::new(&mut tree);
        let mut merger = Merger {
            layers,
            bases,
            seen: layers.iter().map(|it| Numbers::new(&it.tree)).collect(),
            merged: Merged {
                tree,
                origins: Vec::new(),
                forced: Vec::new(),
            },
            shares,
        };
        merger.run()?;
        Ok(merger.merged)
    }
}

struct Merger<'a> {
    layers: &'a [Layer],
    /// The number of each layer's first source.
    bases: Vec<u32>,
    seen: Vec<Numbers>,
    merged: Merged,
    shares: Shares,
}

/// What became of the things of one layer, its owners and its attributes.
struct Numbers {
    things: Vec<u32>,
    owners: Vec<u32>,
    xattrs: Vec<u32>,
}

impl Numbers {
    fn new(tree: &Tree) -> Self {
        Self {
            things: vec![NOTHING; tree.records.len()],
            owners: vec![NOTHING; tree.owners.len()],
            xattrs: vec![NOTHING; tree.xattrs.len()],
        }
    }
}

/// A thing in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    layer: usize,
    id: u32,
}

/// Directories of one path, the topmost first. Content of what is below an opaque one is not here.
type Stack = Vec<Place>;

/// What one name means.
enum Found {
    Nothing,
    Thing(Place),
    Folder {
        stack: Stack,
        /// Whose metadata it has; `None`: no layer says any.
        dress: Option<Place>,
        /// The layer that needs it to be one, if a lower one has something else.
        forced: Option<usize>,
    },
}

/// A directory of the merged tree that has not been filled yet.
struct Next {
    id: u32,
    path: Vec<u8>,
    stack: Stack,
}

impl Merger<'_> {
    fn run(&mut self) -> Result<()> {
        let (stack, dress) = match self.root(self.layers.len()) {
            Found::Folder { stack, dress, .. } => (stack, dress),
            // No layers at all.
            Found::Nothing | Found::Thing(_) => (Stack::new(), None),
        };
        let id = self.folder(dress)?;
        self.merged.tree.records[id as usize].links = 1;
        let mut next = vec![Next {
            id,
            path: Vec::new(),
            stack,
        }];
        while let Some(folder) = next.pop() {
            self.fill(&folder, &mut next)?;
        }
        self.merged.forced.sort();
        Ok(())
    }

    /// The roots of so many layers.
    fn root(&self, layers: usize) -> Found {
        let places = (0..layers).rev().map(|layer| Place { layer, id: 0 });
        self.choose(places.map(|place| (place, false)))
    }

    /// All names of a directory.
    fn fill(&mut self, folder: &Next, next: &mut Vec<Next>) -> Result<()> {
        let layers = self.layers;
        let mut left: Vec<&[Name]> = folder
            .stack
            .iter()
            .map(|it| layers[it.layer].tree.names_in(it.id))
            .collect();
        let first = self.merged.tree.names.len();
        let mut here: Vec<(Place, bool)> = Vec::new();
        loop {
            let heads = left.iter().zip(&folder.stack).filter_map(|(names, place)| {
                let name = names.first()?;
                Some(layers[place.layer].tree.name_of(name))
            });
            let Some(least) = heads.min() else { break };
            here.clear();
            for (names, place) in left.iter_mut().zip(&folder.stack) {
                let tree = &layers[place.layer].tree;
                if let Some((name, rest)) = names.split_first()
                    && tree.name_of(name) == least
                {
                    *names = rest;
                    let id = name.node;
                    let layer = place.layer;
                    here.push((Place { layer, id }, name.hides));
                }
            }
            let found = self.choose(here.iter().copied());
            self.place(folder, least, found, next)?;
        }
        let count = self.merged.tree.names.len() - first;
        if let Body::Folder {
            first: at,
            count: n,
            ..
        } = &mut self.merged.tree.records[folder.id as usize].body
        {
            *at = cut(first)?;
            *n = cut(count)?;
        }
        Ok(())
    }

    fn place(
        &mut self,
        folder: &Next,
        name: &[u8],
        found: Found,
        next: &mut Vec<Next>,
    ) -> Result<()> {
        let path = || {
            let slash: &[u8] = if folder.path.is_empty() { b"" } else { b"/" };
            [&folder.path, slash, name].concat()
        };
        let node = match found {
            Found::Nothing => return Ok(()),
            Found::Thing(place) => {
                let place = self.resolve(place, &path)?;
                self.thing(place)?
            }
            Found::Folder {
                stack,
                dress,
                forced,
            } => {
                let id = self.folder(dress)?;
                let path = path();
                if let Some(layer) = forced {
                    let path = path.clone();
                    self.merged.forced.push(Forced { path, layer });
                }
                next.push(Next { id, path, stack });
                id
            }
        };
        let tree = &mut self.merged.tree;
        tree.records[node as usize].links += 1;
        let (at, _) = tree.keep(name)?;
        tree.names.push(Name {
            at,
            node,
            length: u8::try_from(name.len()).unwrap_or(u8::MAX),
            hides: false,
        });
        Ok(())
    }

    /// What a name means, of which each layer, the topmost first, says this; and whether it hides
    /// what is below.
    fn choose(&self, places: impl Iterator<Item = (Place, bool)>) -> Found {
        let mut stack = Stack::new();
        let (mut real, mut named) = (None, false);
        let (mut dress, mut closed, mut forced) = (None, false, None);
        for (place, hides) in places {
            if place.id != NOTHING {
                let record = self.layers[place.layer].tree.record(place.id);
                let Body::Folder { marks, .. } = record.body else {
                    // Something else: what is above it replaces it. Whiteouts alone do not.
                    match real {
                        None => return Found::Thing(place),
                        Some(layer) if !named => forced = Some(layer),
                        Some(_) => {}
                    }
                    break;
                };
                let Marks {
                    named: says,
                    real: is_real,
                    opaque,
                } = marks;
                if !closed {
                    stack.push(place);
                }
                if is_real || place.id == 0 {
                    // The lowest one of those that would have to make it.
                    real = Some(place.layer);
                }
                if says {
                    named = true;
                    dress = dress.or(Some(place));
                }
                closed |= opaque;
            }
            if hides {
                break;
            }
        }
        match real {
            None => Found::Nothing,
            Some(_) => Found::Folder {
                stack,
                dress,
                forced,
            },
        }
    }

    /// Follows a hard link into lower layers: what had its name there before its own layer.
    fn resolve(&self, mut place: Place, path: &impl Fn() -> Vec<u8>) -> Result<Place> {
        loop {
            let tree = &self.layers[place.layer].tree;
            let Body::Lower { at, length } = tree.record(place.id).body else {
                return Ok(place);
            };
            let to = tree.text(at, length);
            let refuse = |why: &str| {
                let message = format!("{}: hard link to {:?}: {why}", shown(&path()), shown(to));
                Err(Error::new(Kind::Format, message))
            };
            place = match self.below(place.layer, to) {
                Found::Thing(found) => found,
                Found::Nothing => return refuse("no earlier entry has this name"),
                Found::Folder { .. } => return refuse("that is not a regular file"),
            };
            let body = &self.layers[place.layer].tree.record(place.id).body;
            if !matches!(body, Body::File { .. } | Body::Lower { .. }) {
                return refuse("that is not a regular file");
            }
        }
    }

    /// What a path means in the lowest layers, so many of them.
    fn below(&self, layers: usize, path: &[u8]) -> Found {
        let mut here = self.root(layers);
        for name in path.split(|&byte| byte == b'/') {
            let Found::Folder { stack, .. } = here else {
                return Found::Nothing;
            };
            here = self.choose(stack.iter().filter_map(|place| {
                let name = self.layers[place.layer].tree.name_in(place.id, name)?;
                let layer = place.layer;
                Some((
                    Place {
                        layer,
                        id: name.node,
                    },
                    name.hides,
                ))
            }));
        }
        here
    }

    /// A directory with this metadata.
    fn folder(&mut self, dress: Option<Place>) -> Result<u32> {
        let record = match dress {
            Some(place) => Record {
                body: Body::Folder {
                    first: 0,
                    count: 0,
                    marks: Marks::default(),
                },
                ..self.dressed(place)
            },
            None => folder_record(&mut self.merged.tree, &mut self.shares),
        };
        self.push(record, dress)
    }

    /// A thing of a layer, which may have come before by another name.
    fn thing(&mut self, place: Place) -> Result<u32> {
        let known = self.seen[place.layer].things[place.id as usize];
        if known != NOTHING {
            return Ok(known);
        }
        let mut record = self.dressed(place);
        let from = &self.layers[place.layer].tree;
        let into = &mut self.merged.tree;
        match &mut record.body {
            Body::File { source, map, .. } => {
                *source += self.bases[place.layer];
                *map = into.keep_map(from.maps.get(*map as usize).map(|it| &**it));
            }
            Body::Symlink { at, length } => {
                (*at, *length) = into.keep(from.text(*at, *length))?;
            }
            _ => {}
        }
        let id = self.push(record, Some(place))?;
        self.seen[place.layer].things[place.id as usize] = id;
        Ok(id)
    }

    fn push(&mut self, record: Record, origin: Option<Place>) -> Result<u32> {
        let id = self.merged.tree.next_id()?;
        self.merged.tree.records.push(record);
        let origin = origin.map(|it| (it.layer, NodeId(it.id)));
        self.merged.origins.push(origin);
        Ok(id)
    }

    /// The record of a thing, with the merged tree's numbers of its owner and attributes.
    fn dressed(&mut self, place: Place) -> Record {
        let from = &self.layers[place.layer].tree;
        let record = *from.record(place.id);
        let into = &mut self.merged.tree;
        let known = &mut self.seen[place.layer];
        let owner = &mut known.owners[record.owner as usize];
        if *owner == NOTHING {
            *owner = self.shares.owner(into, from.owners[record.owner as usize]);
        }
        let xattrs = &mut known.xattrs[record.xattrs as usize];
        if *xattrs == NOTHING {
            let set = &from.xattrs[record.xattrs as usize];
            *xattrs = self.shares.xattrs(into, set);
        }
        Record {
            owner: *owner,
            xattrs: *xattrs,
            links: 0,
            ..record
        }
    }
}

fn cut(index: usize) -> Result<u32> {
    let cut = u32::try_from(index).ok();
    cut.ok_or_else(|| Error::new(Kind::Format, "more names than a tree can have"))
}
