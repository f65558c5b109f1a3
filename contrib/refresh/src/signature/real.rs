//! Files that others signed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::person::{NOW, Person, at, ring};
use super::*;

/// A folder of real files beside the checkout, if this machine has it.
fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&path.display().to_string());
    None
}

#[allow(clippy::disallowed_macros)] // a test that did not run says so
fn skip(what: &str) {
    eprintln!("skipped: there is no {what}");
}

/// LXC's test files. Their key is not among them, so the good ones come as far as its name.
#[test]
fn the_files_of_distrobuilder() {
    let Some(folder) = shared("corpus/distrobuilder-gpg") else {
        return;
    };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let keyring = ring(&[&Person::new("somebody else")]);
    let now = at(NOW);
    let unknown =
        Err("signed by an unknown key 61F1F20D98671F25CA19887C993408D1137B7D51".to_owned());
    let plain = |error: SignatureError| error.to_string();
    let clear = keyring.verify_clearsigned(&read("testfile.asc"), now);
    assert_eq!(clear.map_err(plain).map(drop), unknown);
    let detached = keyring.verify_detached(&read("testfile"), &read("testfile.sig"), now);
    assert_eq!(detached.map_err(plain).map(drop), unknown);
    let inline = keyring.verify_message(&read("testfile.gpg"), now);
    assert_eq!(inline.map_err(plain).map(drop), unknown);
    let invalid = keyring.verify_clearsigned(&read("testfile-invalid.asc"), now);
    assert!(
        matches!(invalid, Err(SignatureError::Malformed(_))),
        "it does not come as far as a key: {invalid:?}"
    );
    let text = payload_unverified(&read("testfile.asc")).unwrap();
    assert_eq!(text, b"I need to be verified.");
}

#[test]
fn voids_manifest() {
    let Some(folder) = shared("data/signed-sums/void") else {
        return;
    };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (text, signature) = (read("sha256sum.txt"), read("sha256sum.sig"));
    let mut keyring = Keyring::default();
    let pin = |keyring: &mut Keyring, id: &str, line: &str| {
        let key = PublicKey::from_base64(line).unwrap();
        keyring.pin_minisign(id.to_owned(), "Void".to_owned(), key);
    };
    let key = String::from_utf8(read("void-release-20250202.pub")).unwrap();
    let key = key.lines().nth(1).unwrap();
    let id = minisign_id(key).unwrap();
    assert_eq!(id, "4D56E70F102AF9F9");
    // The key that the authors of minisign use for examples.
    let example = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    pin(&mut keyring, &minisign_id(example).unwrap(), example);
    let verify = |keyring: &Keyring, text: &[u8], signature: &[u8]| {
        keyring.verify_detached(text, signature, at(NOW))
    };
    let unknown = Err(SignatureError::UnknownKey(vec![id.clone()]));
    assert_eq!(verify(&keyring, &text, &signature), unknown);

    pin(&mut keyring, &id, key);
    let by = verify(&keyring, &text, &signature).unwrap();
    assert_eq!(
        (by[0].fingerprint.as_str(), by[0].name.as_str()),
        (id.as_str(), "Void")
    );
    for position in [0, 1, 8, 45, 1000, text.len() / 2, text.len() - 1] {
        let mut edited = text.clone();
        edited[position] ^= 1;
        let verdict = verify(&keyring, &edited, &signature);
        assert!(
            matches!(verdict, Err(SignatureError::Refused { .. })),
            "{position}"
        );
    }
    assert!(verify(&keyring, &text[..text.len() - 1], &signature).is_err());
    // Every character of the signature counts, but for the comment that says that it does not.
    let line = signature.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for position in line..signature.len() - 1 {
        let mut edited = signature.clone();
        edited[position] ^= 1;
        assert!(verify(&keyring, &text, &edited).is_err(), "{position}");
    }
    let comment = String::from_utf8(signature.clone())
        .unwrap()
        .replacen("20250202", "now", 1);
    assert!(verify(&keyring, &text, comment.as_bytes()).is_ok());
    // The same key under another id, and another key under the same id.
    let bytes = BASE64.decode(key).unwrap();
    for position in [2, 9, 10, 41] {
        let mut bytes = bytes.clone();
        bytes[position] ^= 1;
        let line = BASE64.encode(&bytes);
        let mut wrong = Keyring::default();
        pin(&mut wrong, &minisign_id(&line).unwrap(), &line);
        assert!(verify(&wrong, &text, &signature).is_err(), "{position}");
    }
}

/// Made by minisign itself, without prehashing: good, and not good enough.
#[test]
fn minisigns_legacy_form_is_refused() {
    let line = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let signature = "untrusted comment: signature from minisign secret key\n\
        RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC\
        351vwIasSSbXxwA=\n\
        trusted comment: timestamp:1555779966\tfile:test\n\
        QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==";
    let key = PublicKey::from_base64(line).unwrap();
    let parsed = Minisign::decode(signature).unwrap();
    key.verify(b"test", &parsed, true).unwrap();
    let mut keyring = Keyring::default();
    keyring.pin_minisign("E7620F1842B4E81F".to_owned(), "example".to_owned(), key);
    let verdict = keyring.verify_detached(b"test", signature.as_bytes(), at(NOW));
    let expect = SignatureError::Refused {
        key: "E7620F1842B4E81F".to_owned(),
        why: "not the prehashed form".to_owned(),
    };
    assert_eq!(verdict, Err(expect));
}

/// What GnuPG signs by RSA, which is what the pinned keys are: an outside judge.
#[test]
fn gnupg_signs_and_we_verify() {
    let folder = std::env::temp_dir().join(format!("df-gpg-{}", std::process::id()));
    let Some(made) = gnupg(&folder) else {
        skip("gpg");
        return;
    };
    let [key, clear, detached, binary, message] = made;
    let mut keyring = Keyring::default();
    keyring.pin_cert(Cert::from_bytes(&key).unwrap());
    let now = SystemTime::now() + std::time::Duration::from_secs(1);
    let signed = keyring.verify_clearsigned(&clear, now).unwrap();
    assert_eq!(signed.payload, b"one\n- two");
    assert_eq!(signed.by[0].name, "judge");
    for signature in [detached, binary] {
        let by = keyring.verify_detached(TEXT, &signature, now).unwrap();
        assert_eq!(by, signed.by);
        assert!(keyring.verify_detached(b"other", &signature, now).is_err());
    }
    let inline = keyring.verify_message(&message, now).unwrap();
    assert_eq!((inline.payload.as_slice(), &inline.by), (TEXT, &signed.by));
}

const TEXT: &[u8] = b"one\n- two\n";

/// A new key and what it signs, in every form; none if there is no gpg.
fn gnupg(home: &Path) -> Option<[Vec<u8>; 5]> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(home).unwrap();
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(home.join("text"), TEXT).unwrap();
    let gpg = |arguments: &[&str]| {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(home)
            .args(["--batch", "--quiet", "--passphrase", "", "--output", "-"])
            .args(arguments)
            .current_dir(home)
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output.status.success().then_some(output.stdout)
    };
    let made = gpg(&["--quick-generate-key", "judge", "rsa2048", "sign", "never"]).and_then(|_| {
        Some([
            gpg(&["--armor", "--export"])?,
            gpg(&["--clearsign", "text"])?,
            gpg(&["--armor", "--detach-sign", "text"])?,
            gpg(&["--detach-sign", "text"])?,
            gpg(&["--sign", "text"])?,
        ])
    });
    let mut agent = Command::new("gpgconf");
    let _ = agent
        .arg("--homedir")
        .arg(home)
        .args(["--kill", "all"])
        .status();
    let _ = std::fs::remove_dir_all(home);
    made
}
