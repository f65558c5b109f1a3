//! Directories with a checksum file: Ubuntu, Debian, Fedora, AlmaLinux, Rocky, CentOS, Void, …
//!
//! Three layouts, told apart by where `{snapshot}` stands in the source:
//!
//! - in `directory`: the directory above is listed, its dated names are the snapshots;
//! - in `file` only, and `sums` is one file for all: its entries are the snapshots;
//! - in `file` and `sums`: the directory is listed, its file names are the snapshots.
//!
//! `{point}` in `directory` is a point release, which is listed before all that.

use std::borrow::Cow;

use distro_fetch::catalog::{Address, Trust};
use distro_fetch::{Snapshot, Url};

use super::template::{capture, for_arch, for_snapshot, point};
use super::{Candidate, Desk, Unit, newest_first, text};
use crate::ask::{Answers, Problem, Stop, Trouble};
use crate::listing::Listing;
use crate::sums::{Sums, SumsError};

/// Follows one unit.
pub(super) fn follow(
    unit: &Unit<'_>,
    answers: &Answers,
    desk: &Desk<'_>,
) -> Result<Candidate, Stop> {
    let field = |name| Ok::<_, Trouble>(for_arch(unit.field(name)?, unit.arch));
    let place = Place {
        unit,
        answers,
        desk,
        directory: field("directory")?,
        file: field("file")?,
        sums: field("sums")?,
        point: None,
    };
    if !place.directory.contains("{point}") {
        return place.follow();
    }
    let prefix = unit.source.field("point", unit.arch).unwrap_or_default();
    let mut last = None;
    for release in place.points(prefix)?.iter().take(MAX_TRIES) {
        let of_point = Place {
            directory: place.directory.replace("{point}", release),
            file: place.file.replace("{point}", release),
            sums: place.sums.replace("{point}", release),
            point: Some(release),
            ..place
        };
        match of_point.follow() {
            // A directory of the next point release may be there before its images are.
            Err(Stop::Trouble(trouble)) if trouble.kind == Problem::Unlisted => {
                last = Some(trouble);
            }
            outcome => return outcome,
        }
    }
    let none = || Problem::Unlisted.because(format!("no point release {prefix}* is listed"));
    Err(last.unwrap_or_else(none).into())
}

struct Place<'u> {
    unit: &'u Unit<'u>,
    answers: &'u Answers,
    desk: &'u Desk<'u>,
    directory: String,
    file: String,
    sums: String,
    /// The point release whose place it is.
    point: Option<&'u str>,
}

impl Place<'_> {
    fn follow(&self) -> Result<Candidate, Stop> {
        let snapshots = self.snapshots()?;
        if snapshots.is_empty() {
            let why = format!("no {} in {}", self.file, self.directory);
            return Err(Problem::Unlisted.because(why).into());
        }
        let mut last = None;
        for snapshot in snapshots.iter().take(MAX_TRIES) {
            match self.candidate(snapshot) {
                // A directory is made before it is filled.
                Err(Stop::Trouble(trouble)) if trouble.kind == Problem::Unlisted => {
                    last.get_or_insert(trouble);
                }
                outcome => return outcome,
            }
        }
        let none = || Problem::Unlisted.because("no snapshot has the file");
        Err(last.unwrap_or_else(none).into())
    }

    /// The snapshots of this place, newest first.
    fn snapshots(&self) -> Result<Vec<Snapshot>, Stop> {
        let names: Vec<String>;
        let pattern;
        if let Some((above, segment)) = split_at_hole(&self.directory, "{snapshot}") {
            pattern = segment;
            names = self.list(above)?;
        } else if !self.file.contains("{snapshot}") {
            let why = "neither directory nor file has a {snapshot}";
            return Err(Problem::Malformed.because(why).into());
        } else if self.sums.contains("{snapshot}") {
            pattern = &self.file;
            names = self.list(&self.directory)?;
        } else {
            pattern = &self.file;
            let (sums, _) = self.read_sums(&self.directory, &self.sums)?;
            names = sums.names().map(str::to_owned).collect();
        }
        let words = names.iter().filter_map(|name| {
            let name = name.trim_end_matches('/');
            capture(pattern, "snapshot", name)
        });
        let mut snapshots = newest_first(words);
        // Builds of another point release lie there while upstream prepares or tidies up.
        if let Some(release) = self.point.filter(|it| it.contains('.')) {
            snapshots.retain(|it| point(it.as_str()) == release);
        }
        Ok(snapshots)
    }

    /// The point releases above this place that begin with `prefix`, newest first.
    fn points(&self, prefix: &str) -> Result<Vec<String>, Stop> {
        let Some((above, segment)) = split_at_hole(&self.directory, "{point}") else {
            return Ok(Vec::new());
        };
        let names = self.list(above)?;
        let words = names
            .iter()
            .filter_map(|name| capture(segment, "point", name.trim_end_matches('/')))
            .filter(|word| word.starts_with(prefix));
        let points = newest_first(words);
        Ok(points.iter().map(ToString::to_string).collect())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, Stop> {
        let url = self.unit.below_base(directory)?;
        let page = text(self.answers.document(&url)?)?;
        let listing = Listing::parse(page, url.path())
            .map_err(|error| Problem::Malformed.because(format!("{url}: {error}")))?;
        Ok(listing.entries.into_iter().map(|it| it.name).collect())
    }

    fn candidate(&self, snapshot: &Snapshot) -> Result<Candidate, Stop> {
        let named = |template: &str| for_snapshot(template, snapshot.as_str());
        let (directory, file) = (named(&self.directory), named(&self.file));
        let (sums, signer) = self.read_sums(&directory, &named(&self.sums))?;
        let document = named(&self.sums);
        // A document that has the file's name in its own is about that file.
        let entry = if document.starts_with(&file) {
            sums.find_beside(&file)
        } else {
            sums.find(&file)
        };
        let entry = entry.map_err(|error| {
            let problem = match error {
                SumsError::Missing(_) => Problem::Unlisted,
                _ => Problem::Malformed,
            };
            problem.because(format!("{directory}{document}: {error}"))
        })?;
        let url = self.unit.below_base(&format!("{directory}{file}"))?;
        let alternate = alternate(self.unit, self.desk, snapshot, &url)?;
        Ok(Candidate {
            snapshot: snapshot.clone(),
            address: Address::Url(url),
            alternates: alternate.into_iter().collect(),
            sums: super::Sums {
                sha256: entry.sha256,
                sha512: entry.sha512,
                md5: None,
            },
            size: entry.size,
            trust: self.unit.trust(),
            signer,
            combined: None,
        })
    }

    /// A checksum file, judged as the source demands, and who signed it.
    fn read_sums(&self, directory: &str, name: &str) -> Result<(Sums, Option<String>), Stop> {
        let url = self.unit.below_base(&format!("{directory}{name}"))?;
        let bytes = self.answers.document(&url)?;
        let origin = self.unit.origin;
        let signature = self.unit.source.field("signature", self.unit.arch);
        let (payload, signer) = match (self.unit.trust(), signature) {
            (Trust::Https, _) => (Cow::Borrowed(bytes), None),
            (Trust::Signature, None) => {
                let (payload, signer) = self.desk.clear_signed(origin, name, bytes)?;
                (Cow::Owned(payload), Some(signer))
            }
            (Trust::Signature, Some(signature)) => {
                let path = for_arch(&format!("{directory}{signature}"), self.unit.arch);
                let signature = self.answers.document(&self.unit.below_base(&path)?)?;
                let signer = self.desk.detached(origin, name, bytes, signature)?;
                (Cow::Borrowed(bytes), Some(signer))
            }
        };
        let sums = Sums::parse(text(&payload)?)
            .map_err(|error| Problem::Malformed.because(format!("{url}: {error}")))?;
        Ok((sums, signer))
    }
}

/// The other place of a file at `own` that a source names, `ORIGIN:PATH`, if it is another one.
pub(super) fn alternate(
    unit: &Unit<'_>,
    desk: &Desk<'_>,
    snapshot: &Snapshot,
    own: &Url,
) -> Result<Option<Url>, Trouble> {
    let Some(template) = unit.source.field("alternate", unit.arch) else {
        return Ok(None);
    };
    let bad = |why: &str| Problem::Malformed.because(format!("alternate {template:?}: {why}"));
    let (origin, path) = template
        .split_once(':')
        .ok_or_else(|| bad("ORIGIN:PATH is expected"))?;
    let origin = desk.catalog.origin(origin);
    let origin = origin.ok_or_else(|| bad("there is no such origin"))?;
    let path = for_snapshot(&for_arch(path, unit.arch), snapshot.as_str());
    let url = origin.url.append(&path);
    let url = url.map_err(|error| bad(error.message()))?;
    Ok((url != *own).then_some(url))
}

/// The directory above the first segment with `hole` in it, and that segment.
fn split_at_hole<'t>(directory: &'t str, hole: &str) -> Option<(&'t str, &'t str)> {
    let at = directory.find(hole)?;
    let start = directory[..at].rfind('/').map_or(0, |slash| slash + 1);
    let end = directory[at..]
        .find('/')
        .map_or(directory.len(), |n| at + n);
    Some((&directory[..start], &directory[start..end]))
}

/// How many snapshots are looked into, newest first, for one that is complete.
const MAX_TRIES: usize = 6;
