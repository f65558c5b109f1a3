//! Documents that are signed here.

use std::io::Write as _;

use openpgp::serialize::stream::{Armorer, Compressor, LiteralWriter, Message, Signer as Writer};
use openpgp::types::{HashAlgorithm, ReasonForRevocation};

use super::person::{DAY, MADE, NOW, Person, SIGNED, armored, at, ring, unite};
use super::*;

/// What a verdict comes down to.
fn shown(verdict: &Result<Signed, SignatureError>) -> String {
    match verdict {
        Ok(signed) => {
            let mut by: Vec<_> = signed.by.iter().map(|by| by.name.as_str()).collect();
            by.sort_unstable();
            format!(
                "{} by {}",
                String::from_utf8_lossy(&signed.payload),
                by.join("+")
            )
        }
        Err(SignatureError::Refused { key, why }) => format!("refused {key} {why}"),
        Err(error) => error.to_string(),
    }
}

const FORGED: &str = "Bad signature: Message has been manipulated";
/// 400 days after every key is made.
const LATE: &str = "The primary key is not live: Expired on 2025-02-04";

fn refused(person: &Person, why: &str) -> String {
    format!("refused {} {why}", person.fingerprint())
}

/// How the verdict on a clear-signed document begins.
fn check(keyring: &Keyring, name: &str, document: &str, expect: &str) {
    let shown = shown(&keyring.verify_clearsigned(document.as_bytes(), at(NOW)));
    assert!(
        shown.starts_with(expect),
        "{name}: {shown:?}, not {expect:?}"
    );
}

#[test]
fn who_may_sign() {
    let (alice, eve) = (Person::new("alice"), Person::new("alice"));
    let expiring = Person::with_validity("expiring", Some(400));
    let retired = Person::new("retired").revoked(ReasonForRevocation::KeyRetired);
    let stolen = Person::new("stolen").revoked(ReasonForRevocation::KeyCompromised);
    let keyring = ring(&[&alice, &expiring, &retired, &stolen]);
    let good = alice.clearsign("text");
    let of = |person: &Person| person.clearsign("text");
    let unknown = format!("signed by an unknown key {}", eve.fingerprint());
    for (name, document, expect) in [
        ("good", good.clone(), "text by alice".to_owned()),
        (
            "edited",
            good.replace("text", "test"),
            refused(&alice, FORGED),
        ),
        ("unknown, the same name", of(&eve), unknown.clone()),
        ("expired since", of(&expiring), refused(&expiring, LATE)),
        (
            "expired before",
            expiring.clearsign_as("text", NOW - DAY, HashAlgorithm::SHA512),
            refused(&expiring, "Subkey of"),
        ),
        (
            "revoked since",
            of(&retired),
            refused(&retired, "the key is revoked"),
        ),
        ("stolen", of(&stolen), refused(&stolen, "Subkey of")),
        (
            "SHA-1",
            alice.clearsign_as("text", SIGNED, HashAlgorithm::SHA1),
            refused(&alice, "Bad signature: Policy rejected"),
        ),
        (
            "tomorrow",
            alice.clearsign_as("text", NOW + DAY, HashAlgorithm::SHA512),
            refused(&alice, "Bad signature: Not live until"),
        ),
        (
            "before the key",
            alice.clearsign_as("text", MADE - DAY, HashAlgorithm::SHA512),
            refused(&alice, "Subkey of"),
        ),
        ("plain", "text".to_owned(), "not signed".to_owned()),
    ] {
        check(&keyring, name, &document, &expect);
    }
    // A keyring without keys trusts nobody.
    let nobody = Keyring::default().verify_clearsigned(good.as_bytes(), at(NOW));
    assert_eq!(
        nobody,
        Err(SignatureError::UnknownKey(vec![alice.fingerprint()]))
    );
    // In its time, the key was good.
    let then = keyring.verify_clearsigned(of(&expiring).as_bytes(), at(SIGNED + 1));
    assert_eq!(shown(&then), "text by expiring");
}

#[test]
fn several_signatures() {
    let (alice, bob, eve) = (Person::new("alice"), Person::new("bob"), Person::new("eve"));
    let expiring = Person::with_validity("expiring", Some(400));
    let keyring = ring(&[&alice, &bob, &expiring]);
    let of = |person: &Person| person.clearsign("text");
    let other = |person: &Person| person.clearsign("another");
    for (name, document, expect) in [
        (
            "two",
            unite("text", &[of(&alice), of(&bob)]),
            "text by alice+bob".to_owned(),
        ),
        (
            "twice",
            unite("text", &[of(&bob), of(&bob)]),
            "text by bob".to_owned(),
        ),
        (
            "second bad",
            unite("text", &[of(&alice), other(&bob)]),
            refused(&bob, FORGED),
        ),
        (
            "first bad",
            unite("text", &[other(&bob), of(&alice)]),
            refused(&bob, FORGED),
        ),
        (
            "second expired",
            unite("text", &[of(&alice), of(&expiring)]),
            refused(&expiring, LATE),
        ),
        (
            "second unknown",
            unite("text", &[of(&alice), of(&eve)]),
            "text by alice".to_owned(),
        ),
        (
            "first unknown and bad",
            unite("text", &[other(&eve), of(&alice)]),
            "text by alice".to_owned(),
        ),
        (
            "all unknown",
            unite("text", &[of(&eve), other(&eve)]),
            format!("signed by an unknown key {}", eve.fingerprint()),
        ),
        ("none", unite("text", &[]), "not signed".to_owned()),
    ] {
        check(&keyring, name, &document, &expect);
    }
}

#[test]
fn only_what_is_signed_is_returned() {
    let alice = Person::new("alice");
    let keyring = ring(&[&alice]);
    let text = "- dash\n-----BEGIN PGP SIGNED MESSAGE-----\nFrom here\n\n  x";
    let good = alice.clearsign(text);
    assert!(good.contains("\n- -----BEGIN PGP SIGNED"), "{good}");
    let header = good.split_inclusive('\n').nth(1).unwrap();
    for (name, document) in [
        ("as it is", good.clone()),
        ("before and after", format!("evil\n\n{good}\nevil\n{good}")),
        (
            "an unsigned block after it",
            format!("{good}-----BEGIN PGP SIGNED MESSAGE-----\n\nevil\n"),
        ),
        ("CRLF", good.replace('\n', "\r\n")),
        ("blanks at the ends", good.replace("dash\n", "dash \t\n")),
        ("no hash header", good.replacen(header, "", 1)),
        (
            "another hash header",
            good.replacen(header, "Hash: MD5\n", 1),
        ),
    ] {
        let signed = keyring.verify_clearsigned(document.as_bytes(), at(NOW));
        let signed = signed.unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = String::from_utf8(signed.payload.clone())
            .unwrap()
            .replace("\r\n", "\n");
        assert_eq!(lines, text, "{name}");
        let unverified = payload_unverified(document.as_bytes());
        assert_eq!(
            unverified,
            Some(signed.payload),
            "{name}: the same without a judge"
        );
    }
    for (name, document) in [
        (
            "text among the headers",
            good.replacen(header, &format!("{header}evil: 1\n"), 1),
        ),
        (
            "text instead of a header",
            good.replacen(header, "evil\n", 1),
        ),
        (
            "a dash that is not escaped",
            good.replacen("- -----BEGIN PGP SI", "-----BEGIN PGP SI", 1),
        ),
        ("a line more", good.replacen("x\n", "x\nevil\n", 1)),
        ("a blank line more", good.replacen("x\n", "x\n\n", 1)),
        (
            "quoted",
            good.replace('\n', "\n> ").replacen("--", "> --", 1),
        ),
        ("no end", good.replace("-----END PGP SIGNATURE-----", "")),
    ] {
        let verdict = keyring.verify_clearsigned(document.as_bytes(), at(NOW));
        assert!(verdict.is_err(), "{name}: {}", shown(&verdict));
    }
    // An unsigned block in front is what is read, and it is not signed.
    let front = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\n\nevil\n{}{good}",
        armored(b"")
    );
    assert!(
        keyring
            .verify_clearsigned(front.as_bytes(), at(NOW))
            .is_err()
    );
}

/// Every byte changed, and every length: an error or the same text, and never a panic.
#[test]
fn damage_is_an_error() {
    let alice = Person::new("alice");
    let keyring = ring(&[&alice]);
    let good = alice.clearsign("a text\n- with two lines").into_bytes();
    let check = |document: &[u8]| {
        if let Ok(signed) = keyring.verify_clearsigned(document, at(NOW)) {
            assert_eq!(signed.payload, b"a text\n- with two lines");
        }
    };
    for position in 0..good.len() {
        check(&good[..position]);
        for flip in [0x01, 0x20, 0x80] {
            let mut bad = good.clone();
            bad[position] ^= flip;
            check(&bad);
        }
    }
    let detached = alice.detach(b"payload");
    for position in 0..detached.len() {
        let mut bad = detached.clone();
        bad[position] ^= 1;
        for bad in [&bad[..], &detached[..position]] {
            if let Ok(by) = keyring.verify_detached(b"payload", bad, at(NOW)) {
                // What a signature says outside of what it signs.
                assert_eq!(by.len(), 1);
            }
        }
    }
}

#[test]
fn a_signature_beside_the_file() {
    let (alice, bob, eve) = (Person::new("alice"), Person::new("bob"), Person::new("eve"));
    let keyring = ring(&[&alice, &bob]);
    let join = |parts: &[Vec<u8>]| parts.concat();
    for (name, signature, expect) in [
        ("binary", alice.detach(b"file"), "file by alice".to_owned()),
        (
            "armored",
            armored(&alice.detach(b"file")).into_bytes(),
            "file by alice".to_owned(),
        ),
        (
            "of another file",
            alice.detach(b"other"),
            refused(&alice, FORGED),
        ),
        (
            "two, one bad",
            join(&[alice.detach(b"file"), bob.detach(b"other")]),
            refused(&bob, FORGED),
        ),
        (
            "two, one unknown",
            join(&[eve.detach(b"file"), alice.detach(b"file")]),
            "file by alice".to_owned(),
        ),
        (
            "unknown",
            eve.detach(b"file"),
            format!("signed by an unknown key {}", eve.fingerprint()),
        ),
        ("nothing", Vec::new(), "not signed".to_owned()),
        ("blank", b" \n".to_vec(), "not signed".to_owned()),
        (
            "a page",
            b"<html>404</html>".to_vec(),
            "malformed".to_owned(),
        ),
        ("the file", b"file".to_vec(), "malformed".to_owned()),
        (
            "clear-signed, of the same text",
            alice.clearsign("file").into_bytes(),
            "file by alice".to_owned(),
        ),
    ] {
        let verdict = keyring.verify_detached(b"file", &signature, at(NOW));
        let shown = shown(&verdict.map(|by| Signed {
            payload: b"file".to_vec(),
            by,
        }));
        assert!(shown.starts_with(&expect), "{name}: {shown}");
    }
}

#[test]
fn a_message_that_holds_what_it_signs() {
    let alice = Person::new("alice");
    let keyring = ring(&[&alice]);
    let sign = |payload: &[u8]| {
        let mut sink = Vec::new();
        let message = Armorer::new(Message::new(&mut sink)).build().unwrap();
        let message = Compressor::new(message).build().unwrap();
        let writer = Writer::new(message, alice.pair()).unwrap();
        let writer = writer.creation_time(at(SIGNED)).build().unwrap();
        let mut writer = LiteralWriter::new(writer).build().unwrap();
        writer.write_all(payload).unwrap();
        writer.finalize().unwrap();
        sink
    };
    let good = sign(b"text");
    assert_eq!(
        shown(&keyring.verify_message(&good, at(NOW))),
        "text by alice"
    );
    let clear = keyring.verify_clearsigned(&good, at(NOW));
    assert_eq!(clear, Err(SignatureError::Unsigned));
    let bomb = sign(&vec![0; MAX_BYTES * 2]);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(
        keyring.verify_message(&bomb, at(NOW)),
        Err(SignatureError::TooLong)
    );
}
