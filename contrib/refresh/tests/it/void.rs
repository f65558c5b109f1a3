//! Void's real list with its real signature and its real key, through a whole run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use distro_fetch::catalog::{Catalog, Rules};
use refresh::ask::{Answer, Ask, Problem, Trouble};
use refresh::keys::Keys;
use refresh::report::Report;
use refresh::run::{Settings, run};
use refresh::upstream::Upstream;
use serde_json::json;

use crate::facts::fixture;
use crate::person::{Folder, our_keys};

/// A server with one directory.
struct Server(BTreeMap<&'static str, Vec<u8>>);

impl Upstream for Server {
    fn answer(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let path = |url: &distro_fetch::Url| url.as_str().strip_prefix(BASE).map(str::to_owned);
        let answer = match ask {
            Ask::Document { url, .. } => path(url)
                .and_then(|path| self.0.get(path.as_str()))
                .map(|bytes| Answer::Document(bytes.clone())),
            Ask::Size { .. } => Some(Answer::Size(None)),
            _ => None,
        };
        answer.ok_or_else(|| Problem::Unlisted.because(format!("{ask}: 404")))
    }
}

fn server(list: Vec<u8>, signature: Vec<u8>) -> Server {
    let page = b"<a href=\"../\">../</a><a href=\"20250202/\">20250202/</a>";
    Server(BTreeMap::from([
        ("live/", page.to_vec()),
        (LIST, list),
        (SIGNATURE, signature),
    ]))
}

/// What a run over Void's images finds, none being pinned before.
fn found(server: &Server, keys: &Keys) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog.json");
    let mut text: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for image in IMAGES {
        text["images"][image]["pins"] = json!({});
    }
    let catalog = Catalog::parse(&text.to_string(), Rules::Embedded).unwrap();
    let settings = Settings {
        only: IMAGES.map(str::to_owned).to_vec(),
        now: "2025-03-01T12:00:00Z".parse().unwrap(),
        ..Settings::default()
    };
    run(&catalog, server, keys, &settings).unwrap()
}

fn list() -> Vec<u8> {
    fixture("void/sha256sum.txt")
}

fn signature() -> Vec<u8> {
    fixture("void/sha256sum.sig")
}

#[test]
fn the_real_list_is_believed() {
    let keys = Keys::load(&our_keys()).unwrap();
    let report = found(&server(list(), signature()), &keys);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let list = String::from_utf8(list()).unwrap();
    for change in &report.changes {
        let pin = &change.new;
        let name = pin.address.url().unwrap().file_name();
        let line = format!("SHA256 ({name}) = {}", pin.sha256);
        assert!(list.lines().any(|it| it == line), "{line}");
        let signer = change.signer.as_deref().unwrap();
        assert!(signer.contains("4D56E70F102AF9F9"), "{signer}");
    }
    assert_eq!(report.changes.len(), PINS);
}

#[track_caller]
fn check_refused(server: &Server, keys: &Keys, expect: Problem, what: &str) {
    let report = found(server, keys);
    assert!(report.changes.is_empty(), "{what}: {:?}", report.changes);
    for image in IMAGES {
        assert!(report.catalog.get(image).unwrap().pins.is_empty(), "{what}");
    }
    // What is not listed and was never pinned is told apart from what is wrong.
    let all = report.failures.iter().chain(&report.unpinned);
    let kinds: Vec<_> = all.map(|it| it.trouble.kind).collect();
    assert_eq!(kinds, [expect; PINS], "{what}");
}

#[test]
fn one_byte_is_enough() {
    let keys = Keys::load(&our_keys()).unwrap();
    let (list, signature) = (list(), signature());
    for at in [0, 60, list.len() / 2, list.len() - 1] {
        let mut other = list.clone();
        other[at] ^= 1;
        let server = server(other, signature.clone());
        check_refused(&server, &keys, Problem::Signature, &format!("list, {at}"));
    }
    let shorter = server(list[..list.len() - 1].to_vec(), signature.clone());
    check_refused(&shorter, &keys, Problem::Signature, "shorter list");

    // The first line is a comment that nothing covers; the others are the signature, the trusted
    // comment, and the signature over both.
    let lines: Vec<_> = signature.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 4);
    for (line, within) in [(1, 0), (1, 4), (1, 40), (2, 20), (3, 10)] {
        let at = lines[..line].iter().map(|it| it.len()).sum::<usize>() + within;
        let mut other = signature.clone();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let server = server(list.clone(), other);
        let what = format!("signature, line {line}, {within}");
        check_refused(&server, &keys, Problem::Signature, &what);
    }
    let empty = server(list.clone(), Vec::new());
    check_refused(&empty, &keys, Problem::Signature, "an empty signature");
    let mut unsigned = server(list, signature);
    unsigned.0.remove(SIGNATURE);
    check_refused(&unsigned, &keys, Problem::Unlisted, "no signature");
}

/// A folder of keys in which Void has this one.
fn keys_with(id: [u8; 8], key: [u8; 32]) -> Keys {
    let folder = Folder::new();
    let line = BASE64.encode([b"Ed".as_slice(), &id, &key].concat());
    // An id is written as a number, and lies in the key from its last byte to its first.
    let id: String = id.iter().rev().map(|byte| format!("{byte:02X}")).collect();
    let file = format!("untrusted comment: minisign public key {id}\n{line}\n");
    fs::write(folder.path().join("void.pub"), file).unwrap();
    let index = json!({ "void": [{
        "file": "void.pub",
        "title": "somebody else",
        "found": "made by the test",
        "minisign": id,
        "key": line,
    }] });
    fs::write(folder.path().join("keys.json"), index.to_string()).unwrap();
    Keys::load(folder.path()).unwrap()
}

#[test]
fn another_key_is_not_enough() {
    let key = String::from_utf8(fixture("void/void-release-20250202.pub")).unwrap();
    let key = BASE64.decode(key.lines().nth(1).unwrap()).unwrap();
    let id: [u8; 8] = key[2..10].try_into().unwrap();
    let real: [u8; 32] = key[10..].try_into().unwrap();
    // The base point of the curve: a key as good as any.
    let mut other = [0x66; 32];
    other[0] = 0x58;
    let server = server(list(), signature());
    let refused = |keys: &Keys, what| check_refused(&server, keys, Problem::Signature, what);
    refused(&keys_with([7; 8], other), "another key");
    refused(&keys_with(id, other), "another key by the same id");
    refused(&keys_with([7; 8], real), "the same key by another id");
    assert_eq!(
        found(&server, &keys_with(id, real)).changes.len(),
        PINS,
        "the real one"
    );
}

const BASE: &str = "https://repo-default.voidlinux.org/";
const LIST: &str = "live/20250202/sha256sum.txt";
const SIGNATURE: &str = "live/20250202/sha256sum.sig";
const IMAGES: [&str; 2] = ["void-current-glibc", "void-current-musl"];
const PINS: usize = 9;
