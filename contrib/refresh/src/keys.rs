//! The keys that are pinned: `keys.json`, and the key files beside it.
//!
//! `keys.json` says which origin is signed by which keys, the files hold them, and each is checked
//! against the other: a key that is in a file and not listed, or listed and not in a file, or a file
//! that nobody mentions, stops the refresher before it reads anything from the network. So whoever
//! adds a key has to write its fingerprint where a reviewer reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use minisign_verify::PublicKey;
use sequoia_openpgp as openpgp;
use serde::Deserialize;

use openpgp::Cert;
use openpgp::cert::CertParser;
use openpgp::parse::Parse as _;

use crate::signature::{Keyring, minisign_id};

/// The keyrings, by origin.
#[derive(Clone, Debug)]
pub struct Keys {
    origins: BTreeMap<String, Keyring>,
}

impl Keys {
    /// Reads `keys.json` and every file it names, from one folder.
    ///
    /// # Errors
    ///
    /// If something cannot be read, or if the files are not exactly what `keys.json` says.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(INDEX);
        let read = |path: &Path| -> Result<String> {
            let size = fs::metadata(path).map(|it| it.len());
            let size = size.with_context(|| format!("cannot read {}", path.display()))?;
            ensure!(size <= MAX_FILE, "{}: too long for keys", path.display());
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let index: BTreeMap<String, Vec<Listed>> = serde_json::from_str(&read(&path)?)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut named = BTreeSet::from([INDEX, README].map(str::to_owned));
        let mut origins = BTreeMap::new();
        for (origin, listed) in index {
            ensure!(
                !listed.is_empty(),
                "{}: {origin} has no keys",
                path.display()
            );
            let mut keyring = Keyring::default();
            for one in listed {
                ensure!(
                    distro_fetch::base::safe_file_name(&one.file) == one.file,
                    "{}: {:?} is not the name of a file",
                    path.display(),
                    one.file
                );
                let file = folder.join(&one.file);
                one.pin(&read(&file)?, &mut keyring)
                    .with_context(|| format!("{}, for {origin}", file.display()))?;
                named.insert(one.file);
            }
            origins.insert(origin, keyring);
        }
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            ensure!(
                named.contains(&name),
                "{}: {name} is beside it and not listed",
                path.display()
            );
        }
        Ok(Self { origins })
    }

    /// The keys that sign for an origin, if it is one that signs.
    pub fn of(&self, origin: &str) -> Option<&Keyring> {
        self.origins.get(origin)
    }

    /// The origins that sign, sorted.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.origins.keys().map(String::as_str)
    }
}

/// A key file, as `keys.json` describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Its name, beside `keys.json`.
    file: String,
    /// Whose keys they are.
    title: String,
    /// Where they were found: what a reviewer goes back to.
    found: String,
    /// OpenPGP: every certificate in the file.
    #[serde(default)]
    fingerprints: Vec<String>,
    /// minisign: the id of the key,
    minisign: Option<String>,
    /// and all of it.
    key: Option<String>,
}

impl Listed {
    fn pin(&self, text: &str, keyring: &mut Keyring) -> Result<()> {
        ensure!(!self.title.is_empty(), "it has no title");
        ensure!(!self.found.is_empty(), "it does not say where it was found");
        match (&self.minisign, &self.key) {
            (None, None) => self.pin_certs(text, keyring),
            (Some(id), Some(key)) if self.fingerprints.is_empty() => {
                let line = text.lines().nth(1).unwrap_or_default();
                ensure!(line == key, "the key in the file is {line:?}");
                ensure!(
                    minisign_id(line).as_ref() == Some(id),
                    "the id of the key is {}",
                    minisign_id(line).unwrap_or_default()
                );
                let key = PublicKey::decode(text)?;
                keyring.pin_minisign(id.clone(), self.title.clone(), key);
                Ok(())
            }
            _ => bail!("either fingerprints are listed, or minisign and key"),
        }
    }

    fn pin_certs(&self, text: &str, keyring: &mut Keyring) -> Result<()> {
        let mut expected: BTreeSet<_> = self.fingerprints.iter().map(String::as_str).collect();
        ensure!(
            expected.len() == self.fingerprints.len(),
            "a fingerprint is listed twice"
        );
        ensure!(!expected.is_empty(), "no fingerprint is listed");
        for cert in CertParser::from_bytes(text.as_bytes())? {
            let cert: Cert = cert?;
            let fingerprint = cert.fingerprint().to_hex();
            ensure!(!cert.is_tsk(), "{fingerprint} is a secret key");
            ensure!(
                expected.remove(fingerprint.as_str()),
                "{fingerprint} is in it and not listed"
            );
            keyring.pin_cert(cert);
        }
        if let Some(missing) = expected.first() {
            bail!("{missing} is listed and not in it");
        }
        Ok(())
    }
}

/// What says which keys there are.
const INDEX: &str = "keys.json";
/// What says how to change them.
const README: &str = "README.md";
/// A hundred keys are below this.
const MAX_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
