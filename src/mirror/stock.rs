//! Files of a mirror, and what is known of them.

use std::fs::File;

use sha2::{Digest as _, Sha256};

use super::ledger::{Kept, Ledger};
use super::place::Place;
use super::shelf::{Bytes, Shelf, There};
use crate::base::{Digest, Timestamp};
use crate::cache::{Overwrite, Rehash};
use crate::error::{Error, Kind, Result};

/// Hears how many bytes are written; its error stops the work.
pub(super) type Tell<'a> = dyn FnMut(u64) -> Result<()> + 'a;

/// A shelf with its ledger: what is proven is written down, and what is written down is believed.
pub(super) struct Stock<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) ledger: Ledger,
    /// Whether files are believed or read.
    pub(super) rehash: Rehash,
}

/// What is to be done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it is there.
    Nothing,
    /// It is not there.
    File,
    /// What is there is damaged.
    Repair,
}

impl Need {
    fn overwrite(self) -> Overwrite {
        match self {
            Self::Nothing | Self::File => Overwrite::No,
            Self::Repair => Overwrite::Yes,
        }
    }
}

impl Stock<'_> {
    /// What is to be done to have these bytes there.
    ///
    /// # Errors
    /// [`Kind::Other`] if something else is there: nobody's file is overwritten.
    pub(super) fn need(&mut self, place: &Place, bytes: Bytes) -> Result<Need> {
        let known = self.ledger.files.get(place.as_str()).copied();
        let there = self.shelf.look(place, bytes, known.as_ref(), self.rehash)?;
        match there {
            There::Nothing => return Ok(Need::File),
            There::Damaged(_) => return Ok(Need::Repair),
            // Nothing else may have the name of a hash.
            There::Other if place.split().1 == bytes.sha256.to_string() => return Ok(Need::Repair),
            There::Other => return Err(self.in_the_way(place)),
            There::Sound => {}
        }
        if known.is_none_or(|known| known.sha256 != bytes.sha256) {
            let kept = Kept {
                sha256: bytes.sha256,
                size: self.shelf.size(place)?,
                mtime: bytes.time.0,
            };
            self.note(place, kept);
        }
        Ok(Need::Nothing)
    }

    /// What is wrong with a file of the ledger, if anything is.
    pub(super) fn fault(&self, place: &Place) -> Result<Option<String>> {
        let Some(known) = self.ledger.files.get(place.as_str()) else {
            return Ok(Some("it is not in the record".to_owned()));
        };
        let bytes = Bytes {
            sha256: known.sha256,
            size: Some(known.size),
            time: Timestamp(known.mtime),
        };
        let there = self.shelf.look(place, bytes, Some(known), self.rehash)?;
        Ok(match there {
            There::Sound => None,
            There::Nothing => Some("it is not there".to_owned()),
            There::Damaged(why) => Some(why),
            There::Other => Some("it is something else".to_owned()),
        })
    }

    /// A copy of a file.
    pub(super) fn put(
        &mut self,
        place: &Place,
        need: Need,
        source: &mut File,
        bytes: Bytes,
        tell: &mut Tell<'_>,
    ) -> Result<()> {
        let kept = self
            .shelf
            .put(place, source, bytes, need.overwrite(), tell)?;
        self.note(place, kept);
        Ok(())
    }

    /// A second name for a file that is here, and was looked at.
    pub(super) fn link(
        &mut self,
        from: &Place,
        to: &Place,
        bytes: Bytes,
        tell: &mut Tell<'_>,
    ) -> Result<()> {
        if from == to {
            return Ok(());
        }
        // The first name has just been looked at.
        let known = self.ledger.files.get(from.as_str()).copied();
        if let Some(known) = known.filter(|_| self.shelf.is_one(from, to)) {
            self.note(to, known);
            return Ok(());
        }
        let need = self.need(to, bytes)?;
        if need != Need::Nothing {
            let kept = self.shelf.link(from, to, bytes, need.overwrite(), tell)?;
            self.note(to, kept);
        }
        Ok(())
    }

    /// A file that is made here. One that is there stays as it is, whoever made it, unless it is
    /// ours and damaged: what was published under a serial does not change.
    pub(super) fn make(
        &mut self,
        place: &Place,
        time: Timestamp,
        content: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<()> {
        let known = self.ledger.files.get(place.as_str()).copied();
        let mut need = Need::File;
        if let Some(known) = known {
            let sha256 = known.sha256;
            need = self.need(
                place,
                Bytes {
                    sha256,
                    size: None,
                    time,
                },
            )?;
        } else if let Some(theirs) = self.shelf.hash(place)? {
            self.note(place, theirs);
            return Ok(());
        }
        if need == Need::Nothing {
            return Ok(());
        }
        let content = content()?;
        let sha256 = Digest::from_bytes(Sha256::digest(&content).into());
        let bytes = Bytes {
            sha256,
            size: Some(content.len() as u64),
            time,
        };
        let kept = self.shelf.make(place, &content, bytes, need.overwrite())?;
        self.note(place, kept);
        Ok(())
    }

    /// Removes a file and forgets it.
    pub(super) fn remove(&mut self, place: &Place) -> Result<()> {
        self.shelf.remove(place)?;
        self.ledger.files.remove(place.as_str());
        Ok(())
    }

    fn note(&mut self, place: &Place, kept: Kept) {
        self.ledger.files.insert(place.as_str().to_owned(), kept);
    }

    fn in_the_way(&self, place: &Place) -> Error {
        let path = self.shelf.path(place);
        let message = format!(
            "{} is something else than is pinned, and was not mirrored here: it is left as it is",
            path.display()
        );
        Error::new(Kind::Other, message).with_path(path)
    }
}
