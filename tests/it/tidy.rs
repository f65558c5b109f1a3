//! The rules of the house that a compiler does not know: rooms, floors, fences, file sizes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room and its floor: a room imports only from lower floors. The rooms of later work are
/// listed too, so that the map is one table; `cli` belongs to the binary.
const FLOORS: &[(&str, u32)] = &[
    ("cli", 8),
    ("audit", 7),
    ("mirror", 7),
    ("rootfs", 7),
    ("oci", 6),
    ("fetch", 5),
    ("fsimg", 5),
    ("cache", 4),
    ("simplestreams", 4),
    ("tree", 4),
    ("catalog", 3),
    ("net", 3),
    ("archive", 3),
    ("disk", 3),
    ("io", 2),
    ("sys", 2),
    ("base", 1),
    ("event", 1),
    ("error", 0),
];

/// What a room may not say, who may, and why.
const FENCES: &[(&str, &[&str], &str)] = &[
    (
        "std::env",
        &["src/cli/"],
        "the environment is read at the command line",
    ),
    ("println!", &["src/cli/"], "a library does not print"),
    ("print!", &["src/cli/"], "a library does not print"),
    (
        "process::exit",
        &["src/cli/signals.rs"],
        "only a second Ctrl-C ends the process on the spot",
    ),
    (
        "fs::rename",
        &["src/sys/"],
        "what a rename replaces is decided in one place",
    ),
    ("flock", &["src/sys/"], "locks have one door"),
    ("fs2::", &["src/sys/lock.rs"], "each name behind one file"),
    ("xz2::", &["src/archive/xz.rs"], "each name behind one file"),
    ("todo!", &[], "finished, or not there"),
    ("unimplemented!", &[], "finished, or not there"),
];

#[test]
fn a_room_imports_only_from_lower_floors() {
    let mut wrong = String::new();
    for file in sources() {
        let Some(room) = file.room() else { continue };
        let Some(floor) = floor(room) else {
            writeln!(wrong, "{}: {room} is not in FLOORS", file.name).unwrap();
            continue;
        };
        for (line, import) in imports(&file) {
            let at = format!("{}:{line}", file.name);
            match self::floor(&import) {
                _ if import == room => {}
                None => writeln!(wrong, "{at}: {import} is not a room").unwrap(),
                Some(other) if other < floor => {}
                Some(other) => writeln!(
                    wrong,
                    "{at}: {room} (floor {floor}) imports {import} (floor {other})"
                )
                .unwrap(),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The judge itself: what it takes for an import.
#[test]
fn imports_are_found_in_every_spelling() {
    let file = Source {
        name: "src/net/x.rs".to_owned(),
        text: "use crate::base::Url;\n\
               use crate::{error::Error, event};\n\
               pub(crate) use distro_fetch::catalog::{self, Pin};\n\
               fn f() { crate::sys::now() } // crate::cli is prose\n\
               use crate::{\n    io::Read,\n};\n\
               use crate::Catalog;\n"
            .to_owned(),
    };
    let found: Vec<_> = imports(&file).collect();
    let expect = [
        (1, "base"),
        (2, "error"),
        (2, "event"),
        (3, "catalog"),
        (4, "sys"),
        (5, "io"),
    ];
    let expect: Vec<_> = expect
        .iter()
        .map(|(line, room)| (*line, (*room).to_owned()))
        .collect();
    assert_eq!(found, expect);
}

#[test]
fn the_library_does_not_declare_the_command_line() {
    let declares = |name: &str| {
        let text = fs::read_to_string(root().join(name)).unwrap();
        text.lines().any(|line| line.trim() == "mod cli;")
    };
    assert!(declares("src/main.rs"));
    assert!(!declares("src/lib.rs"));
}

#[test]
fn every_room_opens_with_an_essay() {
    let mut rooms = 0;
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        rooms += 1;
        let door = path.join("mod.rs");
        let text = fs::read_to_string(&door).unwrap_or_default();
        let essay = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .count();
        assert!(essay >= 3, "{}: what is this room for?", door.display());
    }
    assert!(rooms >= 9, "{rooms} rooms");
}

#[test]
fn files_have_a_size_and_a_noun() {
    let mut files = 0;
    for file in sources().into_iter().chain(files_below("tests")) {
        files += 1;
        let lines = file.text.lines().count();
        assert!(lines <= 600, "{}: {lines} lines, split it", file.name);
        for word in [
            "utils", "util", "common", "helpers", "helper", "types", "misc",
        ] {
            let named = file.name.split(['/', '.']).any(|part| part == word);
            assert!(!named, "{}: named after no noun", file.name);
        }
    }
    assert!(files >= 40, "{files} files");
}

#[test]
fn fences_hold() {
    let mut wrong = String::new();
    for file in sources() {
        for (number, line) in file.code() {
            for (word, allowed, why) in FENCES {
                // A place to put scratch files of a unit test is not a setting.
                let here = line.replace("std::env::temp_dir", "");
                if says(&here, word) && !allowed.iter().any(|door| file.name.starts_with(door)) {
                    writeln!(wrong, "{}:{number}: {word}: {why}", file.name).unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn nothing_is_left_for_later() {
    let mut wrong = String::new();
    let others = ["tests", "benches", "examples", "contrib", "templates"];
    for file in sources()
        .into_iter()
        .chain(others.into_iter().flat_map(files_below))
    {
        if file.name == "tests/it/tidy.rs" {
            continue;
        }
        for (at, line) in file.text.lines().enumerate() {
            for word in ["TODO", "FIXME", "XXX", "#[ignore"] {
                if line.contains(word) {
                    writeln!(wrong, "{}:{}: {word}", file.name, at + 1).unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A file of the project, by its path from the root.
struct Source {
    name: String,
    text: String,
}

impl Source {
    /// The first folder below `src`.
    fn room(&self) -> Option<&str> {
        let (room, _) = self.name.strip_prefix("src/")?.split_once('/')?;
        Some(room)
    }

    /// Numbered lines without comments. A `//` inside a string ends the line too early, which
    /// hides nothing but the rest of that string's line.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| {
            let end = line
                .match_indices("//")
                .find(|(at, _)| !line[..*at].ends_with(':'))
                .map_or(line.len(), |(at, _)| at);
            (at + 1, &line[..end])
        })
    }
}

/// The rooms that a file names: `crate::ROOM`, `crate::{ROOM::…, ROOM}`, and the same behind the
/// library's name, which is how the binary says it.
fn imports(file: &Source) -> impl Iterator<Item = (usize, String)> {
    let mut code = String::new();
    for (_, line) in file.code() {
        code.push_str(line);
        code.push('\n');
    }
    let mut found = Vec::new();
    for root in ["crate::", "distro_fetch::"] {
        for (at, _) in code.match_indices(root) {
            // `$crate::` in a macro is a path of the caller's expansion: the same rooms.
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let rest = &code[at + root.len()..];
            for name in first_segments(rest) {
                // An item at the crate's root is a name in upper case, or one of its macros.
                if name.starts_with(|c: char| c.is_ascii_lowercase()) && name != "pinned!" {
                    found.push((line, name));
                }
            }
        }
    }
    found.sort();
    found.into_iter()
}

/// `a::b` is a; `{a::{b, c}, d}` is a and d.
fn first_segments(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let text = text.trim_start();
        let end = text
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '!'))
            .unwrap_or(text.len());
        text[..end].to_owned()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let (mut depth, mut start, mut parts) = (0_u32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    let mut names: Vec<_> = parts.into_iter().map(word).collect();
    names.retain(|name| !name.is_empty() && name != "self");
    names
}

/// Whether code says a word, and not only a longer one that ends in it.
fn says(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn floor(room: &str) -> Option<u32> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, floor)| *floor)
}

fn sources() -> Vec<Source> {
    files_below("src")
}

fn files_below(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    walk(&root().join(folder), &mut files);
    files.sort();
    let name = |path: &Path| {
        let path = path.strip_prefix(root()).unwrap();
        path.to_string_lossy().into_owned()
    };
    files
        .iter()
        .filter(|path| {
            let extension = path.extension().and_then(|it| it.to_str());
            matches!(extension, Some("rs" | "sh" | "txt"))
        })
        .map(|path| Source {
            name: name(path),
            text: fs::read_to_string(path).unwrap(),
        })
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
