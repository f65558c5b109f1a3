//! Which signatures count: the part of the verifier that OpenPGP leaves to the application.

use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::cert::amalgamation::ValidAmalgamation as _;
use openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use openpgp::packet::{Packet, Signature, key};
use openpgp::parse::stream::{
    MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerificationResult,
};
use openpgp::policy::{HashAlgoSecurity, Policy, StandardPolicy};
use openpgp::types::{
    AEADAlgorithm, HashAlgorithm, RevocationStatus, SignatureType, SymmetricAlgorithm,
};
use openpgp::{Cert, Fingerprint, KeyHandle};

use super::{SignatureError, Signer};

/// The standard policy, except that a user ID may be bound to a pinned certificate by SHA-1.
#[derive(Debug)]
pub(super) struct Pinned<'a> {
    standard: StandardPolicy<'a>,
    binding: StandardPolicy<'a>,
}

impl Pinned<'_> {
    pub(super) fn at(now: SystemTime) -> Self {
        let mut binding = StandardPolicy::at(now);
        binding.accept_hash_property(
            HashAlgorithm::SHA1,
            // Not against collisions: the owner chose both the text and the key.
            HashAlgoSecurity::SecondPreImageResistance,
        );
        Self {
            standard: StandardPolicy::at(now),
            binding,
        }
    }
}

impl Policy for Pinned<'_> {
    fn signature(&self, signature: &Signature, need: HashAlgoSecurity) -> openpgp::Result<()> {
        match signature.typ() {
            SignatureType::GenericCertification
            | SignatureType::PersonaCertification
            | SignatureType::CasualCertification
            | SignatureType::PositiveCertification => self.binding.signature(signature, need),
            _ => self.standard.signature(signature, need),
        }
    }

    fn key(&self, key: &ValidErasedKeyAmalgamation<'_, key::PublicParts>) -> openpgp::Result<()> {
        self.standard.key(key)
    }

    fn symmetric_algorithm(&self, algorithm: SymmetricAlgorithm) -> openpgp::Result<()> {
        self.standard.symmetric_algorithm(algorithm)
    }

    fn aead_algorithm(&self, algorithm: AEADAlgorithm) -> openpgp::Result<()> {
        self.standard.aead_algorithm(algorithm)
    }

    fn packet(&self, packet: &Packet) -> openpgp::Result<()> {
        self.standard.packet(packet)
    }
}

/// What the verifier asks: which certificates there are, and whether the signatures will do.
pub(super) struct Judge<'a> {
    certs: &'a [Cert],
    policy: &'a Pinned<'a>,
    now: SystemTime,
    /// Outside of the judge, which the verifier keeps when it fails.
    verdict: &'a mut Option<Verdict>,
}

/// Who signed, or why it does not count.
pub(super) type Verdict = Result<Vec<Signer>, SignatureError>;

impl<'a> Judge<'a> {
    pub(super) fn new(
        certs: &'a [Cert],
        policy: &'a Pinned<'a>,
        now: SystemTime,
        verdict: &'a mut Option<Verdict>,
    ) -> Self {
        Self {
            certs,
            policy,
            now,
            verdict,
        }
    }

    fn weigh(&self, structure: &MessageStructure<'_>) -> Verdict {
        let (mut by, mut unknown) = (Vec::new(), Vec::new());
        for layer in structure.iter() {
            let results = match layer {
                MessageLayer::SignatureGroup { results } => results,
                MessageLayer::Compression { .. } => continue,
                MessageLayer::Encryption { .. } => {
                    return Err(SignatureError::Malformed("an encrypted message".to_owned()));
                }
            };
            for result in results {
                match self.of(result)? {
                    Voice::Good(signer) => by.push(signer),
                    Voice::Unknown(key) => unknown.push(key),
                }
            }
        }
        by.sort();
        by.dedup();
        match (by.is_empty(), unknown.is_empty()) {
            (false, _) => Ok(by),
            (true, false) => Err(SignatureError::UnknownKey(unknown)),
            (true, true) => Err(SignatureError::Unsigned),
        }
    }

    /// What one signature says.
    fn of(&self, result: &VerificationResult<'_>) -> Result<Voice, SignatureError> {
        let error = match result {
            Ok(good) => {
                self.good_now(&good.ka)?;
                return Ok(Voice::Good(signer(good.ka.cert())));
            }
            Err(error) => error,
        };
        let signature = match error {
            VerificationError::MissingKey { sig } => return Ok(Voice::Unknown(issuer(sig))),
            // A format of tomorrow beside one that can be read.
            VerificationError::UnknownSignature { .. } => {
                return Ok(Voice::Unknown("of another format".to_owned()));
            }
            VerificationError::UnboundKey { sig, .. }
            | VerificationError::BadKey { sig, .. }
            | VerificationError::BadSignature { sig, .. }
            | VerificationError::MalformedSignature { sig, .. } => sig,
            _ => return Err(SignatureError::Malformed(error.to_string())),
        };
        // Whoever is not pinned may sign as badly as they like.
        if !self.claims_to_be_ours(signature) {
            return Ok(Voice::Unknown(issuer(signature)));
        }
        Err(SignatureError::Refused {
            key: issuer(signature),
            why: chain(error),
        })
    }

    /// A signature that does not say who made it is held against us.
    fn claims_to_be_ours(&self, signature: &Signature) -> bool {
        let issuers = signature.get_issuers();
        let ours = |issuer: &KeyHandle| {
            let mut keys = self.certs.iter().flat_map(Cert::keys);
            keys.any(|pinned| pinned.key().key_handle().aliases(issuer))
        };
        issuers.is_empty() || issuers.iter().any(ours)
    }

    /// The key and its certificate, today.
    fn good_now(
        &self,
        key: &ValidErasedKeyAmalgamation<'_, key::PublicParts>,
    ) -> Result<(), SignatureError> {
        let outcome = alive(key.cert(), &key.key().fingerprint(), self.policy, self.now);
        outcome.map_err(|why| SignatureError::Refused {
            key: key.cert().fingerprint().to_hex(),
            why,
        })
    }
}

/// Whether a key of a certificate may sign at a time, or why not.
pub(super) fn alive(
    cert: &Cert,
    key: &Fingerprint,
    policy: &Pinned<'_>,
    now: SystemTime,
) -> Result<(), String> {
    let why = |error: anyhow::Error| chain(error.as_ref());
    let revoked = |status| matches!(status, RevocationStatus::Revoked(_));
    let cert = cert.with_policy(policy, now).map_err(why)?;
    cert.alive().map_err(why)?;
    let key = cert
        .keys()
        .for_signing()
        .find(|today| today.key().fingerprint() == *key)
        .ok_or("the key is not one that signs")?;
    key.alive().map_err(why)?;
    if revoked(cert.revocation_status()) || revoked(key.revocation_status()) {
        return Err("the key is revoked".to_owned());
    }
    Ok(())
}

impl VerificationHelper for Judge<'_> {
    fn get_certs(&mut self, _: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(self.certs.to_vec())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        let verdict = self.weigh(&structure);
        let outcome = verdict.clone().map(drop);
        *self.verdict = Some(verdict);
        Ok(outcome?)
    }
}

/// A signature that does not speak against the document.
enum Voice {
    Good(Signer),
    Unknown(String),
}

/// The verdict, if the document was also read to its end without a fault.
pub(super) fn settle(verdict: Option<Verdict>, outcome: openpgp::Result<()>) -> Verdict {
    match (verdict, outcome) {
        (Some(Err(error)), _) => Err(error),
        (_, Err(error)) => Err(SignatureError::Malformed(chain(error.as_ref()))),
        (Some(Ok(by)), Ok(())) => Ok(by),
        (None, Ok(())) => Err(SignatureError::Unsigned),
    }
}

fn signer(cert: &Cert) -> Signer {
    let name = cert.userids().next().map(|user| user.userid().to_string());
    Signer {
        fingerprint: cert.fingerprint().to_hex(),
        name: name.unwrap_or_default(),
    }
}

/// Who made a signature, as it says itself; the fingerprint comes before the shorter id.
fn issuer(signature: &Signature) -> String {
    let issuers = signature.get_issuers();
    let first = issuers.first().map(KeyHandle::to_hex);
    first.unwrap_or_else(|| "that it does not name".to_owned())
}

/// An error and what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}
