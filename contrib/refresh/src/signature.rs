//! Signatures: OpenPGP and minisign, by keys that are pinned.
//!
//! Trust is the key file in this repository, not a web of it: a signature counts if a pinned key
//! made it, whoever that key says it belongs to. What is returned is what was verified, never the
//! document it came in. For a document to be accepted, at least one signature by a pinned key must
//! be good and none by a pinned key may be anything else: forged, by an expired or revoked key, or
//! over SHA-1. Signatures by other keys are passed over, because that is what a document
//! looks like while its publisher changes keys.
//!
//! Two rules differ from what an OpenPGP library does by itself:
//!
//! - A key must be good *now*, not only when it signed. The date in a signature is chosen by whoever
//!   holds the key, and the holder of an old key need not be its owner.
//! - The self-signature on a pinned key may use SHA-1. Ubuntu's key for images binds its user ID
//!   that way, since 2009. Nothing rests on it: the whole certificate is pinned by its fingerprint.
//!
//! Of minisign, the prehashed form is accepted and the legacy one is not.

use std::fmt;
use std::io::Read as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use minisign_verify::{Error as MinisignError, PublicKey, Signature as Minisign};
use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::parse::Parse as _;
use openpgp::parse::stream::{DetachedVerifierBuilder, VerifierBuilder};

use crate::cleartext;

mod judge;

use self::judge::{Judge, Pinned};

/// Keys that may sign for an origin.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    certs: Vec<Cert>,
    minisign: Vec<MinisignKey>,
}

#[derive(Clone, Debug)]
struct MinisignKey {
    id: String,
    title: String,
    key: PublicKey,
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer {
    /// The fingerprint of an OpenPGP certificate, or the id of a minisign key: upper-case hex.
    pub fingerprint: String,
    /// Whose it is: the user ID of the certificate, or the title in `keys.json`.
    pub name: String,
}

/// What was verified, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signed bytes. Of a clear-signed text: without dash-escapes, without blanks at the ends
    /// of lines, and without the last line ending, none of which is signed.
    pub payload: Vec<u8>,
    /// The pinned keys with a good signature, sorted, at least one.
    pub by: Vec<Signer>,
}

/// Why nothing was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is no signature.
    Unsigned,
    /// There is something that cannot be read as a signature or as a signed document.
    Malformed(String),
    /// All signatures are by keys that are not pinned: their ids.
    UnknownKey(Vec<String>),
    /// A signature by a pinned key does not hold.
    Refused {
        /// The key, as far as it is known.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// The document is beyond a limit.
    TooLong,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("not signed"),
            Self::Malformed(why) => write!(f, "malformed signature: {why}"),
            Self::UnknownKey(keys) => write!(f, "signed by an unknown key {}", keys.join(", ")),
            Self::Refused { key, why } => write!(f, "signature by {key} refused: {why}"),
            Self::TooLong => f.write_str("too long for a signed document"),
        }
    }
}

impl std::error::Error for SignatureError {}

/// The text of a clear-signed document, **not judged**: for documents that are trusted for another
/// reason. None if it is not clear-signed, or not well.
pub fn payload_unverified(document: &[u8]) -> Option<Vec<u8>> {
    let block = cleartext::open(document).ok()??;
    Some(block.payload)
}

impl Keyring {
    /// Pins an OpenPGP certificate.
    pub(crate) fn pin_cert(&mut self, cert: Cert) {
        self.certs.push(cert);
    }

    /// Pins a minisign key.
    pub(crate) fn pin_minisign(&mut self, id: String, title: String, key: PublicKey) {
        self.minisign.push(MinisignKey { id, title, key });
    }

    /// The fingerprints and key ids, in the order in which they are pinned.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> {
        let certs = self.certs.iter().map(|cert| cert.fingerprint().to_hex());
        certs.chain(self.minisign.iter().map(|key| key.id.clone()))
    }

    /// The OpenPGP certificates by fingerprint, and whether their own keys may sign, or why not.
    #[cfg(test)]
    pub(crate) fn usable(&self, now: SystemTime) -> Vec<(String, Result<(), String>)> {
        let policy = Pinned::at(now);
        let certs = self.certs.iter().map(|cert| {
            let key = cert.fingerprint();
            (key.to_hex(), judge::alive(cert, &key, &policy, now))
        });
        certs.collect()
    }

    /// Verifies the first clear-signed text of a document. What stands before and after it is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// Any [`SignatureError`].
    pub fn verify_clearsigned(
        &self,
        document: &[u8],
        now: SystemTime,
    ) -> Result<Signed, SignatureError> {
        limit(document)?;
        let block = cleartext::open(document)
            .map_err(|why| SignatureError::Malformed(why.as_str().to_owned()))?
            .ok_or(SignatureError::Unsigned)?;
        self.verify_whole(block.whole, now)
    }

    /// Verifies an OpenPGP message that holds what it signs (`gpg --sign`).
    ///
    /// # Errors
    ///
    /// Any [`SignatureError`].
    pub fn verify_message(
        &self,
        message: &[u8],
        now: SystemTime,
    ) -> Result<Signed, SignatureError> {
        limit(message)?;
        self.verify_whole(message, now)
    }

    fn verify_whole(&self, message: &[u8], now: SystemTime) -> Result<Signed, SignatureError> {
        let policy = Pinned::at(now);
        let mut verdict = None;
        let judge = Judge::new(&self.certs, &policy, now, &mut verdict);
        let mut payload = Vec::new();
        let outcome = VerifierBuilder::from_bytes(message)
            .and_then(|builder| builder.with_policy(&policy, now, judge))
            .and_then(|verifier| {
                // A message may be compressed: what comes out is limited, too.
                let mut verifier = verifier.take(MAX_BYTES as u64 + 1);
                Ok(verifier.read_to_end(&mut payload)?)
            });
        // Before the verdict: what was not read to its end has none.
        limit(&payload)?;
        let by = judge::settle(verdict, outcome.map(drop))?;
        Ok(Signed { payload, by })
    }

    /// Verifies a signature that stands beside what it signs: armored, binary, or minisign's.
    ///
    /// # Errors
    ///
    /// Any [`SignatureError`].
    pub fn verify_detached(
        &self,
        payload: &[u8],
        signature: &[u8],
        now: SystemTime,
    ) -> Result<Vec<Signer>, SignatureError> {
        limit(payload)?;
        limit(signature)?;
        if signature.trim_ascii().is_empty() {
            return Err(SignatureError::Unsigned);
        }
        if signature.starts_with(MINISIGN) {
            return self.verify_minisign(payload, signature);
        }
        let policy = Pinned::at(now);
        let mut verdict = None;
        let judge = Judge::new(&self.certs, &policy, now, &mut verdict);
        let outcome = DetachedVerifierBuilder::from_bytes(signature)
            .and_then(|builder| builder.with_policy(&policy, now, judge))
            .and_then(|mut verifier| verifier.verify_bytes(payload));
        judge::settle(verdict, outcome)
    }

    fn verify_minisign(
        &self,
        payload: &[u8],
        signature: &[u8],
    ) -> Result<Vec<Signer>, SignatureError> {
        let malformed = |why: &dyn fmt::Display| SignatureError::Malformed(why.to_string());
        let text = std::str::from_utf8(signature).map_err(|why| malformed(&why))?;
        let parsed = Minisign::decode(text).map_err(|why| malformed(&why))?;
        for pinned in &self.minisign {
            match pinned.key.verify(payload, &parsed, false) {
                Ok(()) => {
                    return Ok(vec![Signer {
                        fingerprint: pinned.id.clone(),
                        name: pinned.title.clone(),
                    }]);
                }
                Err(MinisignError::UnexpectedKeyId) => {}
                Err(why) => {
                    let why = match why {
                        MinisignError::UnexpectedAlgorithm => "not the prehashed form".to_owned(),
                        why => why.to_string(),
                    };
                    let key = pinned.id.clone();
                    return Err(SignatureError::Refused { key, why });
                }
            }
        }
        let id = text.lines().nth(1).and_then(minisign_id);
        Err(SignatureError::UnknownKey(id.into_iter().collect()))
    }
}

/// The id in the base64 line of a minisign key or signature, as `minisign` prints it.
pub(crate) fn minisign_id(line: &str) -> Option<String> {
    let bytes = BASE64.decode(line).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

fn limit(bytes: &[u8]) -> Result<(), SignatureError> {
    match bytes.len() {
        0..=MAX_BYTES => Ok(()),
        _ => Err(SignatureError::TooLong),
    }
}

/// How a signature by minisign begins.
const MINISIGN: &[u8] = b"untrusted comment:";
/// The index of the largest upstream has a tenth of it.
const MAX_BYTES: usize = 64 << 20;

#[cfg(test)]
mod person;
#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
