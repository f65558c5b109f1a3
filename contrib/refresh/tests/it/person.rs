//! People who sign, each with a key that was made for this run, and the folder of pinned keys
//! that lists them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use distro_fetch::base::{Date, Timestamp};
use refresh::keys::Keys;
use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::cert::CertBuilder;
use openpgp::serialize::SerializeInto as _;
use openpgp::serialize::stream::{Message, Signer};
use openpgp::types::KeyFlags;

/// Somebody with a key.
pub(crate) struct Person(Cert);

impl Person {
    pub(crate) fn new(name: &str) -> Self {
        let flags = KeyFlags::empty().set_certification().set_signing();
        let builder = CertBuilder::new()
            .set_creation_time(moment("2020-01-01".parse().unwrap()))
            .set_validity_period(None)
            .set_primary_key_flags(flags)
            .add_userid(name);
        Self(builder.generate().unwrap().0)
    }

    /// The text, clear-signed on that day.
    pub(crate) fn clear_sign(&self, text: &[u8], day: Date) -> Vec<u8> {
        let mut sink = Vec::new();
        let writer = Signer::new(Message::new(&mut sink), self.pair()).unwrap();
        let writer = writer.creation_time(moment(day)).cleartext();
        let mut writer = writer.build().unwrap();
        writer.write_all(text).unwrap();
        writer.finalize().unwrap();
        sink
    }

    /// A signature beside the text.
    pub(crate) fn detach(&self, text: &[u8], day: Date) -> Vec<u8> {
        let mut sink = Vec::new();
        let writer = Signer::new(Message::new(&mut sink), self.pair()).unwrap();
        let writer = writer.creation_time(moment(day)).detached();
        let mut writer = writer.build().unwrap();
        writer.write_all(text).unwrap();
        writer.finalize().unwrap();
        sink
    }

    fn pair(&self) -> openpgp::crypto::KeyPair {
        let key = self.0.primary_key().key().clone();
        key.parts_into_secret().unwrap().into_keypair().unwrap()
    }
}

/// The beginning of a day.
fn moment(day: Date) -> SystemTime {
    let begin: Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(begin.0.try_into().unwrap())
}

/// A folder that is removed when it is done with.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("df-refresh-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The keys of this repository.
pub(crate) fn our_keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("keys")
}

/// The keys of this repository, with those of people in the place of every OpenPGP key: one
/// person for each origin that has any. Void's key stays, for its signature is real.
pub(crate) fn people() -> (BTreeMap<String, Person>, Keys) {
    let ours = fs::read_to_string(our_keys().join("keys.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_str(&ours).unwrap();
    let folder = Folder::new();
    let mut people = BTreeMap::new();
    for (origin, files) in index.as_object_mut().unwrap() {
        if let Some(minisign) = files.get(0).filter(|it| it.get("minisign").is_some()) {
            let name = minisign["file"].as_str().unwrap();
            fs::copy(our_keys().join(name), folder.path().join(name)).unwrap();
            continue;
        }
        let person = Person::new(&format!("{origin}, for tests"));
        let file = format!("{origin}.asc");
        let public = person.0.clone().strip_secret_key_material();
        fs::write(
            folder.path().join(&file),
            public.armored().to_vec().unwrap(),
        )
        .unwrap();
        *files = serde_json::json!([{
            "file": file,
            "title": "a key for tests",
            "found": "made by the test",
            "fingerprints": [public.fingerprint().to_hex()],
        }]);
        people.insert(origin.clone(), person);
    }
    let list = serde_json::to_vec(&index).unwrap();
    fs::write(folder.path().join("keys.json"), list).unwrap();
    let keys = Keys::load(folder.path()).unwrap();
    (people, keys)
}
