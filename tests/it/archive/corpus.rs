//! Every archive and every compressed stream of the corpus, with the verdict that it gets.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use distro_fetch::Kind;
use distro_fetch::archive::{Format, Limits};

use super::kit::{Listed, decode, hex, list, open};
use crate::shared::shared;

/// What each file is said to be, one line per file. `DISTRO_FETCH_BLESS=1` writes it anew: the
/// difference is for a reviewer.
const VERDICTS: &str = include_str!("verdicts.txt");

/// Folders of disk images and signatures: no archives.
const OTHERS: [&str; 3] = ["distrobuilder-gpg", "erofs-fuzz", "own-qcow2"];

#[test]
fn every_file_gets_its_verdict() {
    let Some(corpus) = shared("corpus") else {
        return;
    };
    let mut verdicts = String::new();
    for path in files(&corpus) {
        let name = path.strip_prefix(&corpus).unwrap().to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let start = Instant::now();
        let verdict = verdict(name, &bytes);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
        writeln!(verdicts, "{name}: {verdict}").unwrap();
    }
    if std::env::var_os("DISTRO_FETCH_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/archive/verdicts.txt");
        std::fs::write(path, &verdicts).unwrap();
        return;
    }
    for (now, then) in verdicts.lines().zip(VERDICTS.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(verdicts.lines().count(), VERDICTS.lines().count());
}

/// The attacks on a reader are refused here; those on whoever writes the files are listed exactly,
/// for him to refuse. Of two outcomes that the manifest names, the stricter one was chosen: 42, 43
/// and 61 are refused, not cut or skipped. A lone zero block at the very end (53) is an end.
#[test]
fn attacks_on_the_reader_are_refused_here() {
    let refused: Vec<_> = verdicts("own-tar-attacks/")
        .filter(|(_, verdict)| verdict.starts_with("refused"))
        .map(|(name, _)| &name[..2])
        .collect();
    let expect = [
        "21", "38", "39", "41", "42", "43", "47", "49", "50", "51", "57", "58", "59", "61", "73",
        "74", "77",
    ];
    assert_eq!(refused, expect);
    assert_eq!(verdicts("own-tar-attacks/").count(), 60);
}

/// The names in the collection of the xz project say what must become of each file.
#[test]
fn the_files_of_the_xz_project_are_what_they_say() {
    let mut streams = 0;
    for (name, verdict) in verdicts("xz-tests/") {
        if Format::of_file_name(name) == Some(Format::Xz) {
            streams += 1;
            let refused = verdict.starts_with("refused");
            assert_eq!(refused, !name.starts_with("good-"), "{name}: {verdict}");
        }
    }
    assert!(streams > 50, "{streams}");
    for (name, verdict) in verdicts("zstd-tests/") {
        let refused = verdict.starts_with("refused");
        assert_eq!(refused, name.starts_with("errors/"), "{name}: {verdict}");
    }
}

#[test]
fn floods_of_entries_stop_at_the_limit() {
    let Some(corpus) = shared("corpus/own-tar-attacks") else {
        return;
    };
    let bytes = std::fs::read(corpus.join("75-many-empty-files.tar.xz")).unwrap();
    let limits = Limits {
        entries: 10_000,
        ..Limits::default()
    };
    let error = open(bytes, Format::Xz, limits).unwrap_err();
    assert!(
        error.message().contains("more than 10000 entries"),
        "{error}"
    );
}

/// The recorded verdicts of a folder, by the names in it.
fn verdicts(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = VERDICTS
        .lines()
        .filter_map(move |line| line.strip_prefix(folder));
    lines.map(|line| line.split_once(": ").unwrap())
}

/// What the file is declared to be, what comes out, and what that lists.
fn verdict(name: &str, bytes: &[u8]) -> String {
    let format = declared(name);
    let limits = Limits {
        // A cap that the bombs pass and nothing else does.
        bytes: 100 << 20,
        ..Limits::default()
    };
    let decoded = match decode(bytes, format, &limits) {
        Ok(decoded) => decoded,
        Err(error) => {
            assert_eq!(error.kind(), Kind::Format, "{name}: {error}");
            return format!("refused, {error}");
        }
    };
    let is_tar = ["tar", "tgz", "txz", "broken", "directory"];
    let stream = format != Format::Plain && !is_tar.iter().any(|word| name.contains(word));
    if stream {
        return format!("{} bytes {}", decoded.len(), &hex(&decoded)[..16]);
    }
    match list(&decoded) {
        Ok(listed) => format!("{} entries {}", listed.len(), &summary(&listed)[..16]),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Format, "{name}: {error}");
            format!("refused, {error}")
        }
    }
}

/// A digest over all that was listed.
fn summary(listed: &[Listed]) -> String {
    let mut text = String::new();
    for one in listed {
        writeln!(text, "{:?} {}", one.entry, hex(&one.data)).unwrap();
    }
    hex(text.as_bytes())
}

/// The format that a name declares. Names without one are plain.
fn declared(name: &str) -> Format {
    if name.ends_with("zstd_raw_loop") {
        return Format::Zstd;
    }
    Format::of_file_name(name).unwrap_or(Format::Plain)
}

/// All files that say by their names that they are archives, sorted.
pub(super) fn files(corpus: &Path) -> Vec<PathBuf> {
    let mut folders = vec![corpus.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !OTHERS.contains(&name) {
                    folders.push(path);
                }
            } else if !["manifest.json", "README", "README.md", ".gitignore"].contains(&name) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
