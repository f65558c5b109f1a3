//! People with keys, for tests.

use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::cert::{CertBuilder, CertRevocationBuilder};
use openpgp::serialize::stream::{Message, Signer as Writer};
use openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation};
use openpgp::{Cert, armor};

use super::Keyring;

pub(super) const DAY: u64 = 86_400;
/// 2024-01-01: every key is made.
pub(super) const MADE: u64 = 19_723 * DAY;
/// 2025-01-01: every document is signed.
pub(super) const SIGNED: u64 = MADE + 366 * DAY;
/// 2026-01-01.
pub(super) const NOW: u64 = SIGNED + 365 * DAY;

pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Somebody with a key.
pub(super) struct Person(pub(super) Cert);

impl Person {
    pub(super) fn new(name: &str) -> Self {
        Self::with_validity(name, None)
    }

    pub(super) fn with_validity(name: &str, days: Option<u64>) -> Self {
        let flags = KeyFlags::empty().set_certification().set_signing();
        let builder = CertBuilder::new()
            .set_creation_time(at(MADE))
            .set_validity_period(days.map(|days| Duration::from_secs(days * DAY)))
            .set_primary_key_flags(flags)
            .add_userid(name);
        Self(builder.generate().unwrap().0)
    }

    pub(super) fn revoked(self, reason: ReasonForRevocation) -> Self {
        let mut pair = self.pair();
        let builder = CertRevocationBuilder::new()
            .set_signature_creation_time(at(SIGNED + DAY))
            .unwrap()
            .set_reason_for_revocation(reason, b"test")
            .unwrap();
        let revocation = builder.build(&mut pair, &self.0, None).unwrap();
        Self(self.0.insert_packets([revocation]).unwrap().0)
    }

    pub(super) fn pair(&self) -> openpgp::crypto::KeyPair {
        let key = self.0.primary_key().key().clone();
        key.parts_into_secret().unwrap().into_keypair().unwrap()
    }

    pub(super) fn fingerprint(&self) -> String {
        self.0.fingerprint().to_hex()
    }

    pub(super) fn clearsign(&self, text: &str) -> String {
        self.clearsign_as(text, SIGNED, HashAlgorithm::SHA512)
    }

    pub(super) fn clearsign_as(&self, text: &str, when: u64, hash: HashAlgorithm) -> String {
        let mut sink = Vec::new();
        let writer = Writer::new(Message::new(&mut sink), self.pair()).unwrap();
        let writer = writer.creation_time(at(when)).hash_algo(hash).unwrap();
        let mut writer = writer.cleartext().build().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        writer.finalize().unwrap();
        String::from_utf8(sink).unwrap()
    }

    /// A detached signature, binary.
    pub(super) fn detach(&self, payload: &[u8]) -> Vec<u8> {
        let mut sink = Vec::new();
        let writer = Writer::new(Message::new(&mut sink), self.pair()).unwrap();
        let mut writer = writer.creation_time(at(SIGNED)).detached().build().unwrap();
        writer.write_all(payload).unwrap();
        writer.finalize().unwrap();
        sink
    }
}

pub(super) fn ring(people: &[&Person]) -> Keyring {
    let mut keyring = Keyring::default();
    for person in people {
        keyring.pin_cert(person.0.clone().strip_secret_key_material());
    }
    keyring
}

/// One text with the signatures of several clear-signed documents.
pub(super) fn unite(text: &str, documents: &[String]) -> String {
    let mut bytes = Vec::new();
    for document in documents {
        let at = document.find("-----BEGIN PGP SIGNATURE").unwrap();
        armor::Reader::from_bytes(&document.as_bytes()[at..], None)
            .read_to_end(&mut bytes)
            .unwrap();
    }
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}\n{}",
        armored(&bytes)
    )
}

pub(super) fn armored(signatures: &[u8]) -> String {
    if signatures.is_empty() {
        // The writer writes nothing, then.
        return "-----BEGIN PGP SIGNATURE-----\n\n=twTO\n-----END PGP SIGNATURE-----\n".to_owned();
    }
    let mut writer = armor::Writer::new(Vec::new(), armor::Kind::Signature).unwrap();
    writer.write_all(signatures).unwrap();
    String::from_utf8(writer.finalize().unwrap()).unwrap()
}
