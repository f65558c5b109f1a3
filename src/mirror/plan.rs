//! What goes where, decided before anything is fetched.

use std::collections::BTreeMap;

use super::ledger::{Ledger, key};
use super::place::Place;
use super::report::Failure;
use super::serial::Serial;
use super::version::Version;
use crate::base::{Digest, Timestamp};
use crate::catalog::{Address, Catalog, Image, Pin};
use crate::error::{Error, Kind, Result};
use crate::fetch::Request;

/// What is to be done.
pub(super) struct Plan<'a> {
    pub(super) files: Vec<Item<'a>>,
    /// Container images, with their repositories.
    pub(super) containers: Vec<(&'a Image, &'a Pin, &'a str)>,
    /// What cannot be mirrored.
    pub(super) failures: Vec<Failure>,
}

/// A file that is to be mirrored.
pub(super) struct Item<'a> {
    pub(super) image: &'a Image,
    pub(super) pin: &'a Pin,
    pub(super) request: Request,
    pub(super) place: Place,
    /// What it becomes in the index, or why it cannot be there.
    pub(super) version: Result<Version, String>,
    /// How old its file is made to look.
    pub(super) time: Timestamp,
}

impl<'a> Plan<'a> {
    /// The plan for these pins of a catalog, in a mirror that holds what the ledger says.
    pub(super) fn new(
        catalog: &Catalog,
        pins: &[(&'a Image, &'a Pin)],
        ledger: &Ledger,
    ) -> Result<Self> {
        let mut claims = Claims::default();
        for row in ledger.rows.values().filter(|row| row.container.is_none()) {
            claims.take(&row.place, row.sha256, row.key());
        }
        let mut plan = Self {
            files: Vec::new(),
            containers: Vec::new(),
            failures: Vec::new(),
        };
        for (image, pin) in pins {
            let subject = key(image.name.as_str(), pin.arch, pin.snapshot.as_str());
            match &pin.address {
                Address::Repository(name) => plan.containers.push((image, pin, name)),
                Address::Url(url) => match Place::of_url(url)
                    .and_then(|place| claims.claim(&place, pin.sha256, &subject).map(|()| place))
                {
                    Ok(place) => {
                        let request = Request::pinned(catalog, image, pin)?;
                        plan.files.push(Item::new(image, pin, request, place));
                    }
                    Err(error) => plan.failures.push(Failure::of(image, pin, error)),
                },
            }
        }
        Ok(plan)
    }
}

impl<'a> Item<'a> {
    fn new(image: &'a Image, pin: &'a Pin, request: Request, place: Place) -> Self {
        let serial = Serial::of(pin);
        let version = match Version::of_place(&place, pin.arch) {
            Some(version) => Ok(version),
            None => match serial {
                Some(serial) => {
                    Version::of_pin(image, pin, serial).map_err(|error| error.message().to_owned())
                }
                None => Err(format!(
                    "the catalog has no day for the snapshot {}, and a version needs one",
                    pin.snapshot
                )),
            },
        };
        let time = version.as_ref().map_or(NO_DAY, Version::time);
        Self {
            image,
            pin,
            request,
            place,
            version,
            time,
        }
    }
}

/// Which paths are taken, by which bytes and by whom.
#[derive(Default)]
struct Claims(BTreeMap<String, (Digest, String)>);

impl Claims {
    fn take(&mut self, path: &str, sha256: Digest, who: String) {
        self.0.insert(path.to_owned(), (sha256, who));
    }

    /// Takes a path for these bytes.
    fn claim(&mut self, place: &Place, sha256: Digest, who: &str) -> Result<()> {
        let path = place.as_str();
        if let Some((other, whose)) = self.0.get(path)
            && *other != sha256
        {
            let message = format!(
                "left out: {whose} is at the same path with other bytes ({path}). Mirror \
                 one of them into a directory of its own, served so that \
                 --mirror URL/{{host}}/{{path}} finds both"
            );
            return Err(Error::new(Kind::Other, message));
        }
        let below = format!("{path}/");
        let inner = self.0.range(below.clone()..).next();
        let inner = inner.filter(|(inner, _)| inner.starts_with(&below));
        let outer = place
            .folders()
            .find_map(|folder| self.0.get_key_value(folder));
        if let Some((path, (_, whose))) = inner.or(outer) {
            let message = format!(
                "left out: the file of {whose} ({path}) cannot be beside {place}: one of \
                 them would have to be a directory"
            );
            return Err(Error::new(Kind::Other, message));
        }
        self.take(path, sha256, who.to_owned());
        Ok(())
    }
}

/// How old a file looks of which nobody says how old it is: 2010-01-01, before any image.
pub(super) const NO_DAY: Timestamp = Timestamp(1_262_304_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_has_one_file() {
        let mut claims = Claims::default();
        let (one, two) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let mut claim = |path: &str, sha256| {
            let place = Place::parse(path).unwrap();
            claims.claim(&place, sha256, "x").is_ok()
        };
        assert!(claim("a/b", one));
        assert!(claim("a/b", one), "the same bytes under two names");
        assert!(!claim("a/b", two));
        assert!(!claim("a/b/c", one), "below a file");
        assert!(!claim("a", one), "in the place of a directory");
        assert!(claim("a/bc", two));
        assert!(claim("a-b", two));
    }
}
