//! Layers in a few words, and trees in as many.
//!
//! A line is a letter, a mode if the letter asks for one, a path, and what else there is to say:
//! `d755 etc`, `f etc/hostname=one`, `l link->target`, `h name->other`, `c null`, `p pipe`.
//! A whiteout is a file like any other: `f .wh.gone`.

use std::path::PathBuf;

use distro_fetch::archive::{Device, Empty, Entry, Kind, Limits, Packer, Reader, Time};
use distro_fetch::tree::{Dialect, Keep, Layer, Merged, Spool, Thing, Tree, Window};
use distro_fetch::{Error, Result};

/// What a line says, and its content.
pub(crate) fn entry(line: &str) -> (Entry, Vec<u8>) {
    let (word, rest) = line.split_once(' ').unwrap();
    let (letter, digits) = word.split_at(1);
    let default = if letter == "d" { 0o755 } else { 0o644 };
    let mode = u32::from_str_radix(digits, 8).unwrap_or(default);
    let (path, value) = match letter {
        "l" | "h" => rest.split_once("->").unwrap(),
        _ => rest.split_once('=').unwrap_or((rest, "")),
    };
    let device = Device { major: 1, minor: 3 };
    let kind = match letter {
        "d" => Kind::Directory,
        "f" => Kind::File,
        "l" => Kind::Symlink(value.into()),
        "h" => Kind::Hardlink(value.into()),
        "c" => Kind::Character(device),
        "b" => Kind::Block(device),
        "p" => Kind::Fifo,
        _ => panic!("{line}"),
    };
    let content = if kind == Kind::File { value } else { "" };
    let entry = Entry {
        path: path.into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: Time {
            seconds: 1_700_000_000,
            nanos: 0,
        },
        size: content.len() as u64,
        xattrs: std::collections::BTreeMap::new(),
        extents: None,
    };
    (entry, content.into())
}

/// A tar of these lines.
pub(crate) fn tar(lines: &[&str]) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new());
    for line in lines {
        let (entry, content) = entry(line);
        packer.add(&entry).unwrap();
        packer.write(&content).unwrap();
    }
    packer.finish().unwrap()
}

/// A layer of these lines.
pub(super) fn layer(lines: &[&str]) -> Result<Layer> {
    read(&tar(lines), Dialect::Layer)
}

/// Reads a plain tar through a spool.
pub(super) fn read(tar: &[u8], dialect: Dialect) -> Result<Layer> {
    let limits = Limits::default();
    let reader = Reader::new(tar, limits).with_empty(Empty::Allow);
    let keep = Keep::Spool(Spool::create(&scratch())?);
    Ok(Layer::read(reader, dialect, keep, limits, || Ok(()))?.0)
}

/// Reads a plain tar where it is.
pub(super) fn read_in_place(tar: &[u8], dialect: Dialect) -> Result<Layer> {
    let file = distro_fetch::sys::unnamed_file(&scratch()).unwrap();
    std::io::Write::write_all(&mut &file, tar).unwrap();
    let window = Window::whole(file.into()).unwrap();
    let limits = Limits::default();
    let reader = Reader::new(window.clone(), limits).with_empty(Empty::Allow);
    let keep = Keep::InPlace(window);
    Ok(Layer::read(reader, dialect, keep, limits, || Ok(()))?.0)
}

pub(super) fn scratch() -> PathBuf {
    std::env::temp_dir()
}

/// What layers make, the lowest first.
pub(super) fn merge(layers: &[&[&str]]) -> Result<Merged> {
    let layers: Vec<_> = layers.iter().map(|it| layer(it)).collect::<Result<_>>()?;
    Layer::merge(&layers)
}

/// What layers make, in words; the root goes without saying.
pub(super) fn merged(layers: &[&[&str]]) -> Vec<String> {
    words(&merge(layers).unwrap().tree)
}

/// Why layers do not go together.
pub(super) fn refusal(layers: &[&[&str]]) -> Error {
    merge(layers).map(|it| words(&it.tree)).unwrap_err()
}

/// A tree in words. What has a mode of its own says it.
pub(crate) fn words(tree: &Tree) -> Vec<String> {
    let mut words = Vec::new();
    for visit in tree.walk().skip(1) {
        let path = String::from_utf8_lossy(&visit.path);
        let mode = |usual| match visit.node.mode() {
            mode if mode == usual => String::new(),
            mode => format!("{mode:o}"),
        };
        if let Some(first) = &visit.first {
            words.push(format!("h {path}->{}", String::from_utf8_lossy(first)));
            continue;
        }
        words.push(match visit.node.thing() {
            Thing::Folder => format!("d{} {path}", mode(0o755)),
            Thing::File { size } => {
                let mut content = String::new();
                let stored = visit.node.open().unwrap();
                std::io::Read::read_to_string(&mut stored.content(), &mut content).unwrap();
                assert_eq!(content.len() as u64, size);
                let equals = if content.is_empty() { "" } else { "=" };
                format!("f{} {path}{equals}{content}", mode(0o644))
            }
            Thing::Symlink(text) => format!("l {path}->{}", String::from_utf8_lossy(text)),
            Thing::Character(_) => format!("c {path}"),
            Thing::Block(_) => format!("b {path}"),
            Thing::Fifo => format!("p {path}"),
            Thing::Socket => format!("s {path}"),
        });
    }
    words
}
