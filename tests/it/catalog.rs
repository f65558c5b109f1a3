//! What a catalog may not hold, where the reader says so, and in which words.
//!
//! Every case starts from one small catalog that is good, applies an edit, and compares the whole
//! message, `LINE:COLUMN: text`.

mod canonical;
mod source;

use std::fmt::Write as _;

use distro_fetch::Catalog;
use distro_fetch::catalog::Rules;

/// A piece of [`GOOD`], which stands there once, and what is put in its place.
type Edit<'a> = (&'a str, &'a str);

fn edited(edits: &[Edit<'_>]) -> String {
    let mut text = GOOD.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "an edit of {from:?}");
        text = text.replacen(from, to, 1);
    }
    text
}

fn verdict(text: &str, rules: Rules) -> String {
    match Catalog::parse(text, rules) {
        Ok(_) => "accepted".to_owned(),
        Err(fault) => fault.to_string(),
    }
}

/// A table of cases, one per line: `FROM => TO => MESSAGE`. Each edit is applied alone; all
/// differences are shown at once. `PIN` stands for the address of alpine's amd64.
fn check(rules: Rules, table: &str) {
    let mut wrong = String::new();
    for case in table.lines().map(str::trim) {
        if case.is_empty() || case.starts_with("//") {
            continue;
        }
        let mut parts = case.splitn(3, "=>").map(str::trim);
        let (Some(from), Some(to), Some(expect)) = (parts.next(), parts.next(), parts.next())
        else {
            panic!("not a case: {case}");
        };
        let from = if from == "PIN" { PIN } else { from };
        let said = verdict(&edited(&[(from, to)]), rules);
        if said != expect {
            writeln!(wrong, "{case}\n  but it says: {said}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_good_catalog_is_good() {
    for rules in [Rules::Embedded, Rules::Overlay] {
        assert_eq!(verdict(GOOD, rules), "accepted");
    }
}

#[test]
fn what_is_not_json() {
    check(
        Rules::Embedded,
        r#"
        "schema": 1, => "schema": 1 => 3:3: malformed JSON: expected `,` or `}`
        "default": true => "default": True => 14:36: malformed JSON: expected value
        "size": 3012345 => "size": NaN => 23:19: malformed JSON: expected value
        "size": 3012345 => "size": 0x10 => 23:20: malformed JSON: expected `,` or `}`
        "size": 3012345 => "size": 1e400 => 23:23: malformed JSON: number out of range
        Alpine Linux => Alpine\xLinux => 14:59: malformed JSON: invalid escape
        "#,
    );
    let edit = ("Alpine Linux", "Alpine\u{1}Linux");
    assert_eq!(
        verdict(&edited(&[edit]), Rules::Embedded),
        "14:57: malformed JSON: control character (\\u0000-\\u001F) found while parsing a string"
    );
    let rules = Rules::Embedded;
    assert_eq!(
        verdict("", rules),
        "1:1: malformed JSON: EOF while parsing a value"
    );
    assert_eq!(
        verdict(" \n", rules),
        "2:1: malformed JSON: EOF while parsing a value"
    );
    assert_eq!(verdict("[]", rules), "1:1: an object is expected here");
    assert_eq!(
        verdict("{}", rules),
        "1:1: the catalog needs the field \"schema\""
    );
    assert_eq!(verdict("null", rules), "1:1: an object is expected here");
    assert_eq!(
        verdict(&format!("{GOOD}}}"), rules),
        "47:1: malformed JSON: trailing characters"
    );
    assert_eq!(
        verdict(&format!("{GOOD}\n{GOOD}"), rules),
        "48:1: malformed JSON: trailing characters"
    );
    assert_eq!(
        verdict(&format!("\u{feff}{GOOD}"), rules),
        "1:1: malformed JSON: expected value"
    );
    let half = &GOOD[..GOOD.find("\"sha256\"").unwrap()];
    assert_eq!(
        verdict(half, rules),
        "22:10: malformed JSON: EOF while parsing an object"
    );
}

#[test]
fn a_key_stands_once() {
    check(
        Rules::Embedded,
        r#"
        "schema": 1, => "schema": 1, "schema": 1, => 2:16: duplicate key "schema"
        "near": => "near": "https://x.example/", "near": => 7:50: duplicate key "near"
        "debian-12": { => "alpine-3.21": { => 32:5: duplicate key "alpine-3.21"
        "default": true => "default": true, "kind": "disk" => 14:42: duplicate key "kind"
        // The same key, spelt with an escape.
        "default": true => "default": true, "\u006bind": "disk" => 14:55: duplicate key "kind"
        "arm64": { => "amd64": { => 25:9: duplicate key "amd64"
        "size": 3012345 => "size": 3012345, "size": 3012345 => 23:28: duplicate key "size"
        "index": "i" => "index": "i", "index": "i" => 15:74: duplicate key "index"
        "#,
    );
}

#[test]
fn a_field_is_known_and_there() {
    check(
        Rules::Embedded,
        r#"
        "schema": 1, => "schema": 1, "note": 1, => 2:16: the catalog has no field "note"
        "retention": "permanent" => "retention": "permanent", "key": 1 => 6:33: an origin has no field "key"
        "retention": "permanent" => "retention": { "years": 1 } => 6:22: a retention has no field "years"
        "default": true => "default": true, "alias": [] => 14:42: an image has no field "alias"
        "index": "i" => "index": "i", "tag": "3" => 15:74: a source has no field "tag"
        "size": 3012345 => "size": 3012345, "md5": "" => 23:28: a pin has no field "md5"
        // The first one in the order of the file is told.
        "size": 3012345 => "size": 3012345, "z": 1, "a": 1 => 23:28: a pin has no field "z"
        "schema": 1, => => 1:1: the catalog needs the field "schema"
        "url": "https://up.example/", => => 4:11: an origin needs the field "url"
        "retention": "permanent", => => 4:11: an origin needs the field "retention"
        "distro": "alpine", => => 11:20: an image needs the field "distro"
        "version": "3.21", => => 11:20: an image needs the field "version"
        "kind": "rootfs", "default" => "default" => 11:20: an image needs the field "kind"
        "arches": ["amd64", "arm64"], => => 11:20: an image needs the field "arches"
        "source": { "type": "fixed", "origin": "up" }, => => 32:5: debian-12 has no "source"
        "type": "simplestreams", => => 15:17: a source needs the field "type"
        "index": "i", => => 15:17: a source needs the field "index"
        "snapshot": "20260128_13:00", => => 18:18: a pin needs the field "snapshot"
        "url": "https://up.example/a/20260128_13:00/amd64.tar.xz", => => 18:18: a pin needs the field "url"
        "size": 3012345 => "note": 1 => 23:11: a pin has no field "note"
        "#,
    );
    let without_hash = format!("\"sha256\": \"{A}\",");
    check(
        Rules::Embedded,
        r#"
        "schema": 1 => "schema": 0 => 2:13: schema 0 is not one that this program reads schema 1
        "schema": 1 => "schema": 2 => 2:13: schema 2 is newer than this program, which reads schema 1
        "schema": 1 => "schema": "1" => 2:13: a whole number is expected here
        "schema": 1 => "schema": 1.0 => 2:13: a whole number is expected here
        "schema": 1 => "schema": -1 => 2:13: a whole number is expected here
        "#,
    );
    let edit = (without_hash.as_str(), "");
    assert_eq!(
        verdict(&edited(&[edit]), Rules::Embedded),
        "18:18: a pin needs the field \"sha256\""
    );
}

#[test]
fn names_are_names() {
    let long = format!("\"{}\": {{", "a".repeat(65));
    check(
        Rules::Embedded,
        r#"
        "alpine-3.21": { => "Alpine-3.21": { => 11:5: malformed name "Alpine-3.21": it starts with a lower-case letter or a digit
        "alpine-3.21": { => "../alpine": { => 11:5: malformed name "../alpine": it starts with a lower-case letter or a digit
        "alpine-3.21": { => "alpine/3.21": { => 11:5: malformed name "alpine/3.21": lower-case letters, digits and ._- only
        "alpine-3.21": { => "alpine..21": { => 11:5: malformed name "alpine..21": no `..`
        "alpine-3.21": { => "-alpine": { => 11:5: malformed name "-alpine": it starts with a lower-case letter or a digit
        "alpine-3.21": { => "alpine 3": { => 11:5: malformed name "alpine 3": lower-case letters, digits and ._- only
        "alpine-3.21": { => "alpine\u0000": { => 11:21: malformed name "alpine\0": lower-case letters, digits and ._- only
        "alpine-3.21": { => "аlpine-3.21": { => 11:5: malformed name "аlpine-3.21": it starts with a lower-case letter or a digit
        "alpine-3.21": { => "": { => 11:5: malformed name "": 1 to 64 characters
        "alpine-3.21": { => "alpine-3.22": { => 11:5: alpine-3.22 must be called alpine-3.21 (distro-version[-variant])
        "default": true => "default": true, "variant": "cloud" => 11:5: alpine-3.21 must be called alpine-3.21-cloud (distro-version[-variant])
        "default": true => "default": true, "variant": "Cloud" => 14:53: variant: malformed name "Cloud": it starts with a lower-case letter or a digit
        "distro": "alpine" => "distro": "Alpine" => 12:17: distro: malformed name "Alpine": it starts with a lower-case letter or a digit
        "version": "3.21" => "version": "3/21" => 13:18: version: malformed name "3/21": lower-case letters, digits and ._- only
        "version": "3.21" => "version": 3.21 => 13:18: a string is expected here
        "near": => "Near": => 7:20: mirror name: malformed name "Near": it starts with a lower-case letter or a digit
        "up": { => "u p": { => 4:5: origin name: malformed name "u p": lower-case letters, digits and ._- only
        "codename": "bookworm" => "codename": "" => 33:74: "codename" is 1 to 200 bytes without control characters
        "title": "Alpine Linux" => "title": "two\nlines" => 14:51: "title" is 1 to 200 bytes without control characters
        "#,
    );
    let edit = ("\"alpine-3.21\": {", long.as_str());
    assert_eq!(
        verdict(&edited(&[edit]), Rules::Embedded),
        "11:5: malformed name \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": 1 to 64 characters"
    );
}

#[test]
fn words_are_of_their_lists() {
    check(
        Rules::Embedded,
        r#"
        "kind": "rootfs", "default" => "kind": "iso", "default" => 14:15: unknown kind "iso" (one of: rootfs, disk, oci)
        "type": "simplestreams" => "type": "rss" => 15:27: unknown source type "rss" (one of: simplestreams, alpine-releases, checksums, oci, fixed)
        "index": "i" => "index": "i", "trust": "me" => 15:83: unknown trust "me" (one of: signature, https)
        "default": true => "default": "yes" => 14:36: true or false is expected here
        "origin": "up", "index" => "origin": "down", "index" => 15:54: there is no origin "down"
        ["amd64", "arm64"] => ["amd64", "vax"] => 16:27: unknown architecture "vax"
        ["amd64", "arm64"] => ["amd64", "x86_64"] => 16:27: unknown architecture "x86_64"
        ["amd64", "arm64"] => ["amd64", "amd64"] => 16:27: amd64 is listed twice
        ["amd64", "arm64"] => [] => 16:17: an image has at least one architecture
        ["amd64", "arm64"] => "amd64" => 16:17: an array is expected here
        ["amd64", "arm64"] => ["amd64"] => 25:9: alpine-3.21: a pin for arm64, which is not in "arches"
        "arm64": { => "aarch64": { => 25:9: alpine-3.21: unknown architecture "aarch64"
        "retention": "permanent" => "retention": "forever" => 6:20: "permanent", {"builds": N} or {"days": N} is expected here
        "retention": "permanent" => "retention": 3 => 6:20: "permanent", {"builds": N} or {"days": N} is expected here
        "retention": "permanent" => "retention": {} => 6:20: "permanent", {"builds": N} or {"days": N} is expected here
        "retention": "permanent" => "retention": { "builds": 0 } => 6:32: at least 1
        "retention": "permanent" => "retention": { "days": -1 } => 6:30: a whole number is expected here
        "retention": "permanent" => "retention": { "days": 1, "builds": 1 } => 6:20: "permanent", {"builds": N} or {"days": N} is expected here
        "retention": "permanent" => "retention": { "days": 30 } => accepted
        "2026-01-29" => "2026-02-30" => 41:24: malformed date "2026-02-30": YYYY-MM-DD
        "2026-01-29" => "29.1.2026" => 41:24: malformed date "29.1.2026": YYYY-MM-DD
        "2026-01-29" => 1769644800 => 41:24: a string is expected here
        "#,
    );
}

#[test]
fn hashes_are_64_lower_case_hex_digits() {
    let hash = |hash: &str| verdict(&edited(&[(A, hash)]), Rules::Embedded);
    assert_eq!(
        hash(&A.to_uppercase()),
        "22:21: malformed SHA-256: \"AA\" is not a pair of lower-case hex digits"
    );
    assert_eq!(
        hash(&A[1..]),
        "22:21: malformed SHA-256: 63 characters where 64 hex digits belong"
    );
    assert_eq!(
        hash(&format!("{A}0")),
        "22:21: malformed SHA-256: 65 characters where 64 hex digits belong"
    );
    assert_eq!(
        hash(&format!("{}g", &A[1..])),
        "22:21: malformed SHA-256: \"ag\" is not a pair of lower-case hex digits"
    );
    assert_eq!(
        hash(&format!("sha256:{A}")),
        "22:21: malformed SHA-256: 71 characters where 64 hex digits belong"
    );
    assert_eq!(
        hash(&"é".repeat(32)),
        "22:21: malformed SHA-256: \"é\" is not a pair of lower-case hex digits"
    );
    assert_eq!(
        hash(""),
        "22:21: malformed SHA-256: 0 characters where 64 hex digits belong"
    );
}

#[test]
fn one_hash_is_one_architecture() {
    assert_eq!(
        verdict(&edited(&[(B, A)]), Rules::Embedded),
        "28:21: one hash for two architectures: alpine-3.21 amd64 and alpine-3.21 arm64"
    );
    // Debian's only pin is for amd64, as alpine's first one: two names for the same bytes.
    assert_eq!(verdict(&edited(&[(C, A)]), Rules::Embedded), "accepted");
    assert_eq!(
        verdict(&edited(&[(C, B)]), Rules::Embedded),
        "40:21: one hash for two architectures: alpine-3.21 arm64 and debian-12 amd64"
    );
    assert_eq!(
        verdict(&edited(&[(C, B)]), Rules::Overlay),
        "40:21: one hash for two architectures: alpine-3.21 arm64 and debian-12 amd64"
    );
}

#[test]
fn sizes_are_positive_whole_numbers() {
    check(
        Rules::Embedded,
        r#"
        "size": 3012345 => "size": 0 => 23:19: size 0: leave it out where no source tells it
        "size": 3012345 => "size": -1 => 23:19: a whole number is expected here
        "size": 3012345 => "size": 1.5 => 23:19: a whole number is expected here
        "size": 3012345 => "size": 3e6 => 23:19: a whole number is expected here
        "size": 3012345 => "size": "3012345" => 23:19: a whole number is expected here
        "size": 3012345 => "size": null => 23:19: a whole number is expected here
        "size": 3012345 => "size": 18446744073709551616 => 23:19: a whole number is expected here
        "size": 3012345 => "size": 18446744073709551615 => accepted
        "#,
    );
}

#[test]
fn snapshots_are_safe_and_named_by_their_url() {
    let long = "2".repeat(65);
    let snapshot = |text: &str| {
        let edit = format!("\"snapshot\": \"{text}\"");
        let edits = [("\"snapshot\": \"20260128_13:00\"", edit.as_str())];
        verdict(&edited(&edits), Rules::Embedded)
    };
    for (text, expect) in [
        (
            "a/b",
            "19:23: malformed snapshot \"a/b\": letters, digits and ._:+~- only",
        ),
        (
            "..",
            "19:23: malformed snapshot \"..\": it starts with a letter or a digit",
        ),
        (
            "2026..01",
            "19:23: malformed snapshot \"2026..01\": no `..`",
        ),
        (
            "2026\\u0000",
            "19:23: malformed snapshot \"2026\\0\": letters, digits and ._:+~- only",
        ),
        (
            "-2026",
            "19:23: malformed snapshot \"-2026\": it starts with a letter or a digit",
        ),
        (
            "2026 01",
            "19:23: malformed snapshot \"2026 01\": letters, digits and ._:+~- only",
        ),
        ("", "19:23: malformed snapshot \"\": 1 to 64 characters"),
        (
            &long,
            "19:23: malformed snapshot \"22222222222222222222222222222222222222222222222222222222222222222\": 1 to 64 characters",
        ),
        (
            "2026\\\"#; compile_error!(\\\"x\\\"); //",
            "19:23: malformed snapshot \"2026\\\"#; compile_error!(\\\"x\\\"); //\": letters, digits and ._:+~- only",
        ),
        (
            "20260127_13:00",
            "20:18: the URL names a moving target: it does not contain its snapshot 20260127_13:00",
        ),
        ("20260128_13", "accepted"),
    ] {
        assert_eq!(snapshot(text), expect, "{text}");
    }
    let encoded = ("/a/20260128_13:00/amd64", "/a/20260128_13%3A00/amd64");
    assert_eq!(verdict(&edited(&[encoded]), Rules::Embedded), "accepted");
    let encoded = ("/a/20260128_13:00/amd64", "/a/20260128_13%3a00/amd64");
    assert_eq!(verdict(&edited(&[encoded]), Rules::Embedded), "accepted");
}

#[test]
fn addresses_are_https_and_of_a_known_host() {
    check(
        Rules::Embedded,
        r#"
        PIN => "http://up.example/a/20260128_13:00/amd64.tar.xz" => 20:18: a URL that is not https
        PIN => "file:///a/20260128_13:00/amd64.tar.xz" => 20:18: a URL that is not https
        PIN => "ftp://up.example/a/20260128_13:00/amd64.tar.xz" => 20:18: malformed URL "ftp://up.example/a/20260128_13:00/amd64.tar.xz": the scheme is neither https, http nor file
        PIN => "/a/20260128_13:00/amd64.tar.xz" => 20:18: malformed URL "/a/20260128_13:00/amd64.tar.xz": no scheme
        PIN => "//up.example/a/20260128_13:00/amd64.tar.xz" => 20:18: malformed URL "//up.example/a/20260128_13:00/amd64.tar.xz": no scheme
        PIN => "https://me:secret@up.example/a/20260128_13:00/amd64.tar.xz" => 20:18: a URL with user information
        PIN => "https://up.example/a/20260128_13:00/amd64.tar.xz#x" => 20:18: malformed URL "https://up.example/a/20260128_13:00/amd64.tar.xz#x": a fragment
        PIN => "https://up.example/a/20260128_13:00/amd64.tar.xz?x=1" => 20:18: a URL with a query
        PIN => "https://up.example:8443/a/20260128_13:00/amd64.tar.xz" => 20:18: a URL with a port
        PIN => "https://up.example:99999/a/20260128_13:00/amd64.tar.xz" => 20:18: malformed URL "https://up.example:99999/a/20260128_13:00/amd64.tar.xz": the port is not a number from 0 to 65535
        PIN => "https://up.example/a/../20260128_13:00/amd64.tar.xz" => 20:18: a URL with a `..` segment
        PIN => "https://up.example/a/%2e%2E/20260128_13:00/amd64.tar.xz" => 20:18: a URL with a `..` segment
        PIN => "https://up.example/a%2f..%2f20260128_13:00/amd64.tar.xz" => 20:18: a URL with a `..` segment
        PIN => "https://up.example/a b/20260128_13:00/amd64.tar.xz" => 20:18: malformed URL "https://up.example/a b/20260128_13:00/amd64.tar.xz": a character that must be percent-encoded
        PIN => "https://UP.example/a/20260128_13:00/amd64.tar.xz" => 20:18: write the URL as https://up.example/a/20260128_13:00/amd64.tar.xz
        PIN => "https://evil.example/a/20260128_13:00/amd64.tar.xz" => 20:18: the host evil.example is not one of an origin or its mirrors
        PIN => "https://up.example.evil.example/a/20260128_13:00/amd64.tar.xz" => 20:18: the host up.example.evil.example is not one of an origin or its mirrors
        PIN => "https://up.example/latest/20260128_13:00/amd64.tar.xz" => 20:18: the URL names a moving target: a path segment `latest`
        PIN => "https://up.example/Latest/20260128_13:00/amd64.tar.xz" => 20:18: the URL names a moving target: a path segment `latest`
        PIN => "https://up.example/%6Catest/20260128_13:00/amd64.tar.xz" => 20:18: the URL names a moving target: a path segment `latest`
        // The host is not where a snapshot is named.
        "20260128_13:00", => "up", => 20:18: the URL names a moving target: it does not contain its snapshot up
        PIN => "https://up.example/a/20260128_13:00/" => 20:18: the URL names a directory, not a file
        PIN => "https://up.example/a/amd64.tar.xz" => 20:18: the URL names a moving target: it does not contain its snapshot 20260128_13:00
        PIN => 7 => 20:18: a string is expected here
        // A mirror of an origin is a known host, a segment that only starts so does not move.
        PIN => "https://near.example/lxc/20260128_13:00/amd64.tar.xz" => accepted
        PIN => "https://up.example/latest-3/20260128_13:00/amd64.tar.xz" => accepted
        // Origins, mirrors and alternates are judged by the same words.
        "url": "https://up.example/" => "url": "http://up.example/" => 5:14: a URL that is not https
        "url": "https://up.example/" => "url": "https://up.example/x" => 5:14: a base URL ends in `/`
        "https://near.example/lxc/" => "https://me@near.example/lxc/" => 7:28: a URL with user information
        "https://near.example/lxc/" => "https://near.example/../lxc/" => 7:28: a URL with a `..` segment
        "alternates": [] => "alternates": ["http://up.example/20260128_13:00.tar.xz"] => 21:26: a URL that is not https
        "alternates": [] => "alternates": ["https://up.example/other.tar.xz"] => 21:26: the URL names a moving target: it does not contain its snapshot 20260128_13:00
        "alternates": [] => "alternates": ["https://else.example/20260128_13:00"] => 21:26: the host else.example is not one of an origin or its mirrors
        "alternates": [] => "alternates": "https://up.example/20260128_13:00.tar.xz" => 21:25: an array is expected here
        "alternates": [] => "alternates": ["https://up.example/20260128_13:00.tar.xz"] => accepted
        "#,
    );
    // An alternate may name its digest instead: a store by content never moves.
    let by_digest = format!("\"alternates\": [\"https://near.example/{A}\"]");
    let edit = ("\"alternates\": []", by_digest.as_str());
    assert_eq!(verdict(&edited(&[edit]), Rules::Embedded), "accepted");
    let another = format!("\"alternates\": [\"https://near.example/{B}\"]");
    let edit = ("\"alternates\": []", another.as_str());
    assert_eq!(
        verdict(&edited(&[edit]), Rules::Embedded),
        "21:26: the URL names a moving target: it does not contain its snapshot 20260128_13:00"
    );
}

#[test]
fn a_container_image_is_pinned_by_its_digest() {
    let oci = |repository: &str| {
        let url = format!("\"{repository}\"");
        let edits = [
            (
                "\"kind\": \"rootfs\", \"codename\"",
                "\"kind\": \"oci\", \"codename\"",
            ),
            (
                "\"https://up.example/d/20260101/amd64.tar.xz\"",
                url.as_str(),
            ),
        ];
        verdict(&edited(&edits), Rules::Embedded)
    };
    for (repository, expect) in [
        ("docker.io/library/debian", "accepted"),
        ("localhost:5000/debian", "accepted"),
        (
            "debian",
            "39:18: an OCI pin has a repository as url: host/path, lower case",
        ),
        (
            "docker.io/Library/debian",
            "39:18: an OCI pin has a repository as url: host/path, lower case",
        ),
        (
            "docker.io/library/debian:12",
            "39:18: an OCI pin has a repository as url: host/path, lower case",
        ),
        (
            "docker.io/../debian",
            "39:18: an OCI pin has a repository as url: host/path, lower case",
        ),
        (
            "me@docker.io/library/debian",
            "39:18: an OCI pin has a repository as url: host/path, lower case",
        ),
        (
            "https://docker.io/library/debian",
            "39:18: an OCI pin has a repository as url: host/path, lower case",
        ),
    ] {
        assert_eq!(oci(repository), expect, "{repository}");
    }
}

#[test]
fn a_name_means_one_image() {
    let second = |fields: &str, name: &str| {
        let image = format!(
            "\"{name}\": {{ {fields}, \"kind\": \"rootfs\", \"arches\": [\"amd64\"], \"pins\": {{}},
             \"source\": {{ \"type\": \"fixed\", \"origin\": \"up\" }} }},\n    \"debian-12\": {{"
        );
        verdict(&edited(&[("\"debian-12\": {", &image)]), Rules::Embedded)
    };
    assert_eq!(
        second(
            "\"distro\": \"alpine\", \"version\": \"3.22\"",
            "alpine-3.22"
        ),
        "accepted"
    );
    assert_eq!(
        second(
            "\"distro\": \"alpine\", \"version\": \"3.22\", \"default\": true",
            "alpine-3.22"
        ),
        "32:72: two defaults of alpine: alpine-3.21 and alpine-3.22"
    );
    // An alias that is a name, and an alias that is an alias; upper case makes no difference.
    assert_eq!(
        second(
            "\"distro\": \"debian\", \"version\": \"bookworm\"",
            "debian-bookworm"
        ),
        "34:5: debian-12: its alias debian-bookworm is taken by another image"
    );
    assert_eq!(
        second(
            "\"distro\": \"debian\", \"version\": \"12.1\", \"codename\": \"Bookworm\"",
            "debian-12.1"
        ),
        "34:5: debian-12: its alias debian-bookworm is taken by another image"
    );
}

#[test]
fn an_overlay_is_free_where_the_hash_decides() {
    check(
        Rules::Overlay,
        r#"
        PIN => "http://127.0.0.1:8080/rootfs.tar.xz" => accepted
        PIN => "file:///srv/images/rootfs.tar.xz" => accepted
        PIN => "https://else.example/latest/rootfs.tar.xz?token=1" => accepted
        "url": "https://up.example/" => "url": "http://[::1]:8080/" => accepted
        "source": { "type": "fixed", "origin": "up" }, => => accepted
        "alpine-3.21": { => "mine": { => accepted
        // Everything else stays refused.
        PIN => "http://me:secret@127.0.0.1/rootfs.tar.xz" => 20:18: a URL with user information
        PIN => "http://127.0.0.1/rootfs.tar.xz#x" => 20:18: malformed URL "http://127.0.0.1/rootfs.tar.xz#x": a fragment
        PIN => "http://127.0.0.1/%2e./rootfs.tar.xz" => 20:18: a URL with a `..` segment
        PIN => "file:///srv/../etc/shadow" => 20:18: a URL with a `..` segment
        PIN => "file://host/srv/rootfs.tar.xz" => 20:18: malformed URL "file://host/srv/rootfs.tar.xz": file:///an/absolute/path is the form
        PIN => "file:///srv/images/" => 20:18: the URL names a directory, not a file
        PIN => "gopher://h/x" => 20:18: malformed URL "gopher://h/x": the scheme is neither https, http nor file
        "alpine-3.21": { => "../mine": { => 11:5: malformed name "../mine": it starts with a lower-case letter or a digit
        "snapshot": "20260128_13:00" => "snapshot": "../x" => 19:23: malformed snapshot "../x": it starts with a letter or a digit
        "size": 3012345 => "size": 0 => 23:19: size 0: leave it out where no source tells it
        "default": true => "default": true, "note": 1 => 14:42: an image has no field "note"
        "default": true => "default": true, "kind": "disk" => 14:42: duplicate key "kind"
        ["amd64", "arm64"] => ["amd64"] => 25:9: alpine-3.21: a pin for arm64, which is not in "arches"
        "origin": "up", "index" => "origin": "down", "index" => 15:54: there is no origin "down"
        "schema": 1 => "schema": 2 => 2:13: schema 2 is newer than this program, which reads schema 1
        "#,
    );
}

#[test]
fn depth_is_a_message_and_not_the_end_of_the_stack() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let open = "[".repeat(10_000);
    let objects = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    let title = |value: &str| {
        let edit = ("\"Alpine Linux\"", value);
        verdict(&edited(&[edit]), Rules::Embedded)
    };
    assert_eq!(title(&deep), "14:51: a string is expected here");
    assert_eq!(title(&objects), "14:51: a string is expected here");
    assert_eq!(
        verdict(&deep, Rules::Embedded),
        "1:1: an object is expected here"
    );
    assert_eq!(
        verdict(&open, Rules::Embedded),
        "1:10000: malformed JSON: EOF while parsing a list"
    );
    assert_eq!(
        verdict(&objects, Rules::Embedded),
        "1:1: the catalog needs the field \"schema\""
    );
}

const PIN: &str = "\"https://up.example/a/20260128_13:00/amd64.tar.xz\"";

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

const GOOD: &str = include_str!("catalog/good.json");
