use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::*;

fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("keys")
}

/// The keys of this repository, written out a second time on purpose.
#[test]
fn the_keys_are_the_ones_that_were_reviewed() {
    let keys = Keys::load(&ours()).unwrap();
    let pinned = |origin: &str| {
        let mut found: Vec<_> = keys.of(origin).unwrap().fingerprints().collect();
        found.sort();
        found
    };
    let origins: Vec<_> = keys.origins().collect();
    assert_eq!(
        origins,
        [
            "fedora",
            "fedora-archive",
            "fedora-secondary",
            "ubuntu-cloud",
            "void"
        ]
    );
    assert_eq!(
        pinned("ubuntu-cloud"),
        ["D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"]
    );
    let fedora = [
        "115DF9AEF857853EE8445D0A0727707EA15B79CC",
        "466CF2D8B60BC3057AA9453ED0622462E99D6AD1",
        "53DED2CB922D8B8D9E63FD18999F7CBF38AB71F4",
        "6A51BBABBA3D5467B6171221809A8D7CEB10B464",
        "787EA6AE1147EEE56C40B30CDB4639719867C58F",
        "8C5BA6990BDB26E19F2A1A801161AE6945719A39",
        "ACB5EE4E831C74BB7C168D27F55AD3FB5323552A",
        "B0F4950458F69E1150C6C5EDC8AC4916105EF944",
        "C6E7F081CF80E13146676E88829B606631645531",
        "E8F23996F23218640CB44CBE75CF5AC418B8E74C",
    ];
    assert_eq!(pinned("fedora"), fedora);
    assert_eq!(pinned("fedora-archive"), fedora);
    assert_eq!(pinned("fedora-secondary"), fedora);
    assert_eq!(pinned("void"), ["4D56E70F102AF9F9"]);
    assert!(keys.of("debian-cloud").is_none());
}

/// 2026-11-21. A key that is good for nothing would only be noticed when a pin does not move.
#[test]
fn the_keys_can_sign() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200);
    let keys = Keys::load(&ours()).unwrap();
    for origin in ["fedora", "ubuntu-cloud"] {
        for (fingerprint, outcome) in keys.of(origin).unwrap().usable(now) {
            outcome.unwrap_or_else(|why| panic!("{origin}, {fingerprint}: {why}"));
        }
    }
}

/// The exception in `signature` has a reason as long as this holds.
#[test]
fn ubuntus_key_binds_its_name_by_sha1() {
    let text = fs::read(ours().join("ubuntu-cloud.asc")).unwrap();
    let cert = Cert::from_bytes(&text).unwrap();
    let standard = openpgp::policy::StandardPolicy::new();
    let error = cert.with_policy(&standard, None).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("SHA1"), "{error}");
}

/// A copy of the folder with one file changed, or one more.
fn changed(name: &str, file: &str, change: impl Fn(String) -> String) -> Result<Keys> {
    let folder = std::env::temp_dir().join(format!("df-keys-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(ours())? {
        let path = entry?.path();
        fs::write(folder.join(path.file_name().unwrap()), fs::read(&path)?)?;
    }
    let old = fs::read_to_string(folder.join(file)).unwrap_or_default();
    fs::write(folder.join(file), change(old))?;
    let outcome = Keys::load(&folder);
    fs::remove_dir_all(&folder)?;
    outcome
}

#[test]
fn the_files_are_what_the_list_says() {
    changed("same", "keys.json", |text| text).unwrap();
    let swap = |from: &'static str, to: &'static str| {
        move |text: String| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        }
    };
    let index = |name, from, to| changed(name, "keys.json", swap(from, to));
    let fedora = fs::read_to_string(ours().join("fedora.asc")).unwrap();
    let unlisted = |_| fedora.clone();
    for (outcome, expect) in [
        (
            index("missing", "D2EB44626FDDC30B", "0000000000000000"),
            "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81 is in it and not listed",
        ),
        (
            index(
                "extra",
                "\"D2EB4",
                "\"0000000000000000000000000000000000000000\", \"D2EB4",
            ),
            "0000000000000000000000000000000000000000 is listed and not in it",
        ),
        (
            changed("swapped", "ubuntu-cloud.asc", unlisted),
            "is in it and not listed",
        ),
        (
            changed("twice", "ubuntu-cloud.asc", |text| {
                format!("{text}\n{text}")
            }),
            "",
        ),
        (
            changed("no key", "ubuntu-cloud.asc", |_| "none".to_owned()),
            "",
        ),
        (
            changed("stray", "x.asc", |_| "x".to_owned()),
            "x.asc is beside it",
        ),
        (
            changed(
                "minisign",
                "void-release-20250202.pub",
                swap("RWT5+SoQ", "RWT5+SoR"),
            ),
            "the key in the file is",
        ),
        (
            index("minisign id", "4D56E70F102AF9F9", "4D56E70F102AF9F8"),
            "the id of the key is 4D56E70F102AF9F9",
        ),
        (
            index("path", "\"fedora.asc\"", "\"../fedora.asc\""),
            "is not the name of a file",
        ),
        (
            index("gone", "\"fedora.asc\"", "\"gone.asc\""),
            "cannot read",
        ),
        (index("typo", "\"found\"", "\"fuond\""), "unknown field"),
        (
            index("title", "\"UEC Image Automatic Signing Key\"", "\"\""),
            "it has no title",
        ),
        (
            index(
                "both",
                "\"minisign\"",
                "\"fingerprints\": [\"x\"], \"minisign\"",
            ),
            "either",
        ),
        (
            changed("empty", "keys.json", |_| "{\"x\": []}".to_owned()),
            "x has no keys",
        ),
    ] {
        let error = format!("{:#}", outcome.map(drop).unwrap_err());
        assert!(error.contains(expect), "{expect}: {error}");
    }
}
