//! What a run found: the new catalog, and all that a reviewer has to know of it.

use std::collections::BTreeMap;

use distro_fetch::catalog::{Address, Catalog, Pin, Retention, Trust};
use distro_fetch::{Arch, ImageName, Snapshot};

use crate::ask::{Problem, Trouble};

/// The outcome of a run. All lists are in the order of the catalog.
#[derive(Debug, Default)]
pub struct Report {
    /// The catalog with the new pins.
    pub catalog: Catalog,
    /// Pins that are new, moved, or know more than before.
    pub changes: Vec<Changed>,
    /// Pins, or would-be pins, for which something went wrong: the old ones are kept.
    pub failures: Vec<Failed>,
    /// Architectures that are listed and that upstream does not have, nor ever had for us.
    pub unpinned: Vec<Failed>,
    /// Images that are not added, because their only source forgets too soon.
    pub forgetful: Vec<Forgetful>,
    /// Pins whose upstream has not moved for longer than `--max-age`.
    pub frozen: Vec<Frozen>,
    /// Pins that are what upstream has.
    pub unchanged: usize,
    /// Images that nothing follows.
    pub fixed: usize,
    /// Images of origins that were not asked, by origin.
    pub not_asked: Vec<(String, usize)>,
}

/// A pin that changed.
#[derive(Debug)]
pub struct Changed {
    /// Of which image.
    pub image: ImageName,
    /// What was there.
    pub old: Option<Pin>,
    /// What is there now.
    pub new: Pin,
    /// Where it comes from, in words, and how long that keeps it.
    pub origin: String,
    /// How long.
    pub retention: Retention,
    /// On what it rests.
    pub trust: Trust,
    /// Who signed.
    pub signer: Option<String>,
    /// Whether its address has another shape than before.
    pub other_place: bool,
    /// Whether its size has changed beyond what a new build explains.
    pub other_size: bool,
}

impl Changed {
    /// Whether the pin stands for other bytes than before.
    pub fn is_move(&self) -> bool {
        self.old
            .as_ref()
            .is_some_and(|old| old.sha256 != self.new.sha256)
    }
}

/// A pin that could not be resolved.
#[derive(Debug)]
pub struct Failed {
    /// Of which image.
    pub image: ImageName,
    /// For which architecture.
    pub arch: Arch,
    /// What is pinned, and stays so.
    pub kept: Option<Snapshot>,
    /// Why.
    pub trouble: Trouble,
}

impl Failed {
    /// Whether upstream has stopped to publish what is pinned.
    pub fn is_lost(&self) -> bool {
        self.kept.is_some() && self.trouble.kind == Problem::Unlisted
    }
}

/// One trouble and all that it befell: a server that is down is told once.
#[derive(Debug)]
pub struct Group<'a> {
    /// What happened.
    pub trouble: &'a Trouble,
    /// To whom: at least one, in the order of the catalog.
    pub pins: Vec<&'a Failed>,
}

/// Puts together what failed for the same reason; the order is that of the first of each.
pub fn group<'a>(failed: impl IntoIterator<Item = &'a Failed>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places: BTreeMap<&Trouble, usize> = BTreeMap::new();
    for it in failed {
        let place = *places.entry(&it.trouble).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group {
                trouble: &it.trouble,
                pins: Vec::new(),
            });
        }
        groups[place].pins.push(it);
    }
    groups
}

/// An image that is not added.
#[derive(Debug)]
pub struct Forgetful {
    /// Its name.
    pub image: ImageName,
    /// For which architecture.
    pub arch: Arch,
    /// Where it would be.
    pub address: Address,
    /// For how many days.
    pub days: u64,
}

/// A pin whose upstream stands still.
#[derive(Debug)]
pub struct Frozen {
    /// Of which image.
    pub image: ImageName,
    /// For which architecture.
    pub arch: Arch,
    /// Its newest snapshot.
    pub snapshot: Snapshot,
}

impl Report {
    /// One line for a commit: what moved, in at most 72 characters.
    pub fn subject(&self) -> String {
        let added = self.changes.iter().filter(|it| it.old.is_none()).count();
        let moved = self.changes.iter().filter(|it| it.is_move()).count();
        let other = self.changes.len() - added - moved;
        let mut parts = Vec::new();
        for (count, what) in [(moved, "moved"), (added, "added"), (other, "completed")] {
            if count > 0 {
                let pins = if count == 1 { "pin" } else { "pins" };
                parts.push(if parts.is_empty() {
                    format!("{count} {pins} {what}")
                } else {
                    format!("{count} {what}")
                });
            }
        }
        if parts.is_empty() {
            return "catalog: nothing has changed".to_owned();
        }
        let mut subject = format!("catalog: {}", parts.join(", "));
        let mut names: Vec<&str> = self.changes.iter().map(|it| it.image.as_str()).collect();
        names.dedup();
        let mut shown = String::new();
        for (at, name) in names.iter().enumerate() {
            let more = if at + 1 < names.len() { ", …" } else { "" };
            let comma = if at > 0 { ", " } else { "" };
            let length = subject.chars().count() + shown.len() + comma.len() + name.len();
            if length + more.chars().count() + " ()".len() > MAX_SUBJECT {
                if at > 0 {
                    shown.push_str(", …");
                }
                break;
            }
            shown.push_str(comma);
            shown.push_str(name);
        }
        if !shown.is_empty() {
            subject.push_str(&format!(" ({shown})"));
        }
        subject
    }
}

/// What mail programs and `git log --oneline` show.
const MAX_SUBJECT: usize = 72;
