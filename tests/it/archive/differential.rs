//! Other programs as judges: what we list, they list.
//!
//! The other way round nothing is asked: we refuse more than they do.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use distro_fetch::archive::{Entry, Format, Limits};

use super::corpus::files;
use super::kit::{Header, Listed, Tar, decode, list};
use crate::chance::Random;
use crate::shared::shared;

/// Where a judge reads otherwise, and why we do not follow.
const KNOWN: &[(&str, Judge, &str)] = &[
    (
        "go-archive-tar/pax-nil-sparse-hole.tar",
        Judge::Python,
        "it takes what the archive has of a sparse file for its size",
    ),
    (
        "go-archive-tar/pax-sparse-big.tar",
        Judge::Python,
        "the same",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Judge {
    Gnu,
    Python,
}

#[test]
fn the_corpus_lists_as_elsewhere() {
    let Some(corpus) = shared("corpus") else {
        return;
    };
    let mut cases = Vec::new();
    for path in files(&corpus) {
        let name = path.strip_prefix(&corpus).unwrap().to_str().unwrap();
        let Some(format) = Format::of_file_name(name) else {
            continue;
        };
        let bytes = std::fs::read(&path).unwrap();
        let limits = Limits {
            bytes: 100 << 20,
            ..Limits::default()
        };
        let Ok(tar) = decode(&bytes, format, &limits) else {
            continue;
        };
        let Ok(listed) = list(&tar) else { continue };
        cases.push((name.to_owned(), tar, listed));
    }
    compare(&cases);
}

/// Headers with two or three changed bytes, and a checksum that is right again: what we list, GNU
/// tar lists.
#[test]
fn changed_headers_list_as_elsewhere() {
    let mut chance = Random::new();
    let mut random = |below| chance.below(below);
    let mut cases = Vec::new();
    for nth in 0..300 {
        let make = [Header::new, Header::gnu, Header::v7][random(3)];
        let flag = b"00000123567"[random(11)];
        let size = if flag == b'0' { random(1100) } else { 0 };
        let mut header = make(flag, b"folder/name", size);
        header.put(157, b"target");
        for _ in 0..=random(3) {
            let at = [random(100), 100 + random(57), 257 + random(243)][random(3)];
            header.0[at] = b"\0 017/x\x80\xff"[random(9)];
        }
        let tar = Tar::default()
            .add(&header, &vec![b'x'; size])
            .file("last", b"last")
            .end();
        let Ok(listed) = list(&tar) else { continue };
        cases.push((format!("case {nth}"), tar, listed));
    }
    compare(&cases);
}

/// Compares our listings with those of each judge.
fn compare(cases: &[(String, Vec<u8>, Vec<Listed>)]) {
    let tars: Vec<_> = cases.iter().map(|(_, tar, _)| &tar[..]).collect();
    for judge in [Judge::Gnu, Judge::Python] {
        let (mut compared, mut wrong) = (0, Vec::new());
        let listings = match judge {
            Judge::Gnu => gnu(&tars),
            Judge::Python => python(&tars),
        };
        let Some(listings) = listings else {
            eprintln!("skipped: {judge:?} is not installed");
            continue;
        };
        for ((name, _, listed), theirs) in cases.iter().zip(listings) {
            let Some(theirs) = theirs else { continue };
            compared += 1;
            let ours: Vec<_> = listed.iter().map(|one| line(&one.entry, judge)).collect();
            let known = KNOWN
                .iter()
                .any(|(file, by, _)| (*file, *by) == (name, judge));
            if (ours == theirs) == known {
                wrong.push(format!("{name} by {judge:?}:\n{ours:#?}\n{theirs:#?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        assert!(
            compared * 2 > cases.len(),
            "{judge:?} lists {compared} of {}",
            cases.len()
        );
    }
}

/// An entry as a judge would say it.
fn line(entry: &Entry, judge: Judge) -> String {
    let mut path = &entry.path[..];
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    match judge {
        Judge::Gnu => escaped(path),
        Judge::Python => {
            let hex: String = path.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex} {}", entry.size)
        }
    }
}

/// As GNU tar quotes names in the C locale.
fn escaped(name: &[u8]) -> String {
    name.iter()
        .map(|byte| match byte {
            b'\\' => "\\\\".to_owned(),
            7 => "\\a".to_owned(),
            8 => "\\b".to_owned(),
            b'\t' => "\\t".to_owned(),
            b'\n' => "\\n".to_owned(),
            11 => "\\v".to_owned(),
            12 => "\\f".to_owned(),
            b'\r' => "\\r".to_owned(),
            b' '..=b'~' => char::from(*byte).to_string(),
            _ => format!("\\{byte:03o}"),
        })
        .collect()
}

/// What a judge lists of each tar, if it does not refuse it; `None` if it is not installed.
type Listings = Option<Vec<Option<Vec<String>>>>;

fn gnu(tars: &[&[u8]]) -> Listings {
    let list = |tar: &&[u8]| {
        let mut command = Command::new("tar");
        command.args(["--list", "--quoting-style=escape", "--file=-"]);
        let output = run(command, tar.to_vec())?;
        let text = String::from_utf8(output.stdout).unwrap();
        let names = text
            .lines()
            .map(|line| line.trim_end_matches('/').to_owned());
        Some(output.status.success().then(|| names.collect()))
    };
    tars.iter().map(list).collect()
}

/// One process for all: it takes longer to start than to list.
fn python(tars: &[&[u8]]) -> Listings {
    let mut input = Vec::new();
    for tar in tars {
        input.extend_from_slice(&(tar.len() as u64).to_le_bytes());
        input.extend_from_slice(tar);
    }
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]);
    let output = run(command, input)?;
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let listings = text.split_terminator("end\n").map(|listing| {
        let lines: Vec<_> = listing.lines().map(ToOwned::to_owned).collect();
        (lines.last().map(String::as_str) != Some("error")).then_some(lines)
    });
    let listings: Vec<_> = listings.collect();
    assert_eq!(listings.len(), tars.len());
    Some(listings)
}

fn run(mut command: Command, input: Vec<u8>) -> Option<Output> {
    let mut child = command
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // A judge that has seen enough closes the pipe.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Some(output)
}

const PYTHON: &str = "
import io, os, sys, tarfile
while size := sys.stdin.buffer.read(8):
    data = io.BytesIO(sys.stdin.buffer.read(int.from_bytes(size, 'little')))
    try:
        for one in tarfile.open(fileobj=data, mode='r:', encoding='utf-8', errors='surrogateescape'):
            name = os.fsencode(one.name).rstrip(b'/')
            print(name.hex(), one.size if one.isreg() else 0)
    except Exception:
        print('error')
    print('end')
";
