//! The documents of a root: what they were, and how they become what they are to be.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{self, Readers, Written};
use super::product::{self, Product};
use super::retain::Plan;
use super::scan::IMAGES;
use super::state::{self, Folder, State};
use super::{Problem, Publisher};
use crate::base::Digest;
use crate::error::{Error, Result};
use crate::simplestreams::{Index, Products};
use crate::sys::{self, Beneath};

impl Publisher {
    /// The versions that the index names now.
    pub(super) fn named(&self, state: &State) -> Result<BTreeSet<String>> {
        let named = state.folders.iter().filter(|(_, folder)| folder.named);
        let mut named: BTreeSet<String> = named.map(|(path, _)| path.clone()).collect();
        if let Some(index) = &state.index
            && !self.differs(product::IMAGES, index)?
        {
            return Ok(named);
        }
        // Somebody else wrote it, or we did not get so far: ask the document itself.
        let bytes = document::read(&self.folder, product::IMAGES, MAX_INDEX).unwrap_or_default();
        let products = bytes
            .as_deref()
            .map(|bytes| Products::parse(bytes, &|_| true));
        let products = products.and_then(Result::ok).unwrap_or_default().products;
        let versions = products.iter().flat_map(|product| &product.versions);
        for item in versions.flat_map(|version| &version.items) {
            named.extend(
                item.path
                    .rsplit_once('/')
                    .map(|(folder, _)| folder.to_owned()),
            );
        }
        Ok(named)
    }

    /// Whether a document is not there, or another one.
    pub(super) fn differs(&self, path: &str, sha256: &Digest) -> Result<bool> {
        match document::digest_at(&self.folder, path) {
            Ok(there) => Ok(there.as_ref() != Some(sha256)),
            Err(error) => Err(Error::local("cannot read", self.root.join(path), error)),
        }
    }

    /// Writes what is not there yet: what is known before the index, so that nobody forgets what
    /// an index names, and `images.json` before the index that names its products.
    pub(super) fn write(&self, products: Vec<Product>, plan: Plan, before: &State) -> Result<bool> {
        self.make_folders()?;
        let keys: Vec<String> = products.iter().map(|product| product.found.key()).collect();
        let images = self.draft(product::IMAGES, |out| product::write_images(&products, out))?;
        let index = |keys: &[String]| {
            self.draft(product::INDEX, |out| {
                product::write_index(keys.iter().map(String::as_str), out)
            })
        };
        let last = index(&keys)?;
        let mut state = State {
            folders: BTreeMap::new(),
            retired: plan.retired,
            index: Some(images.sha256),
            sha256: before.sha256,
        };
        let gone: BTreeSet<String> = plan.removed.into_iter().collect();
        for product in products {
            let hidden = product.hidden;
            for (at, build) in product.builds.into_iter().enumerate() {
                if !gone.contains(&build.path) {
                    let (named, files) = (at >= hidden, build.files);
                    state.folders.insert(build.path, Folder { named, files });
                }
            }
        }
        self.remember(&state)?;
        let mut changed = false;
        if self.differs(product::IMAGES, &images.sha256)? {
            // Products that go leave the index first.
            let old = document::read(&self.folder, product::INDEX, MAX_INDEX).unwrap_or_default();
            let old = old.as_deref().map(Index::parse).and_then(Result::ok);
            let streams = old.iter().flat_map(|old| &old.streams);
            let old: BTreeSet<&str> = streams
                .flat_map(|stream| stream.products.iter().flatten())
                .map(|key| &**key)
                .collect();
            let stay: Vec<String> = keys
                .iter()
                .filter(|key| old.contains(key.as_str()))
                .cloned()
                .collect();
            if stay.len() < old.len() {
                index(&stay)?.commit()?;
            }
            images.commit()?;
            changed = true;
        }
        if self.differs(product::INDEX, &last.sha256)? {
            last.commit()?;
            changed = true;
        }
        Ok(changed)
    }

    pub(super) fn remember(&self, state: &State) -> Result<()> {
        let text = state.render();
        let path = self.root.join(state::NAME);
        let same = state
            .sha256
            .is_some_and(|sha256| text.ends_with(&format!("\nend {sha256}\n")));
        if same {
            return Ok(());
        }
        Written::new(&path, Readers::Owner, |out| out.write_all(text.as_bytes()))?.commit()
    }

    fn draft(
        &self,
        path: &str,
        content: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<Written> {
        Written::new(&self.root.join(path), Readers::Everybody, content)
    }

    fn make_folders(&self) -> Result<()> {
        let folder = product::INDEX
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        self.folder_at(folder).map(drop)
    }

    /// Removes versions, and what an earlier removal left.
    pub(super) fn remove(
        &self,
        versions: &[String],
        litter: &[(String, Vec<u8>)],
        problems: &mut Vec<Problem>,
    ) {
        let remove = |path: &str| {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            let above = sys::open_beneath(&self.folder, above.as_bytes(), Beneath::Folder)?;
            sys::retire_tree(above, name.as_bytes())
        };
        for path in versions {
            if let Err(error) = remove(path) {
                problems.push(Problem {
                    path: path.clone(),
                    message: format!("cannot remove it: {error}"),
                });
            }
        }
        for (way, name) in litter {
            let folder = format!("{IMAGES}/{way}");
            // What cannot be removed now will be tried again, and is in nobody's way.
            let _ = sys::open_beneath(
                &self.folder,
                folder.trim_end_matches('/').as_bytes(),
                Beneath::Folder,
            )
            .and_then(|folder| sys::remove_tree(folder, name));
        }
    }
}

/// Bytes of a document of an index: some 150,000 versions.
pub(super) const MAX_INDEX: u64 = 256 << 20;
