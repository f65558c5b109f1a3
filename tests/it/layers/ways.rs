//! One tree by every way: its digest, a directory, a tar, and back.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;

use distro_fetch::archive::{Entry, Extent, Kind, Limits, Packer, Reader, Time};
use distro_fetch::event::Silent;
use distro_fetch::tree::{Dialect, DigestBuilder, Layer, Loss, Policy, Tree, TreeDigest, Writer};
use distro_fetch::{Error, Kind as Why, Result, sys};

use super::kit::{entry, read, read_in_place, scratch, tar, words};

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn digest(tree: &Tree) -> TreeDigest {
    tree.digest(TWO, |_, _| Ok(())).unwrap()
}

fn pack(tree: &Tree) -> Vec<u8> {
    tree.pack(Vec::new(), || Ok(())).unwrap().0
}

/// Everything that a tar can say, in the order of its paths.
fn everything() -> Vec<u8> {
    let time = |seconds, nanos| Time { seconds, nanos };
    let xattrs = |list: &[(&str, &[u8])]| -> BTreeMap<Vec<u8>, Vec<u8>> {
        let list = list.iter();
        list.map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()))
            .collect()
    };
    let mut packer = Packer::new(Vec::new());
    let mut add = |line: &str, dress: &dyn Fn(&mut Entry), more: &[u8]| {
        let (mut entry, mut content) = entry(line);
        content.extend_from_slice(more);
        if entry.is_file() {
            entry.size = content.len() as u64;
        }
        dress(&mut entry);
        packer.add(&entry).unwrap();
        packer.write(&content).unwrap();
    };
    let same = |_: &mut Entry| ();
    add("d1777 .", &|it| it.mtime = time(5, 0), b"");
    add("d a", &same, b"");
    add("f a-b=before a/b in the order of paths", &same, b"");
    add("f4755 a/b=x", &same, &vec![b'y'; 200_000]);
    add("f a/empty", &same, b"");
    add(&format!("f a/{}=long", "n".repeat(255)), &same, b"");
    add(&format!("l a/long->{}", "t".repeat(300)), &same, b"");
    add("h b->a/b", &same, b"");
    add("c c", &same, b"");
    add(
        "d2750 d",
        &|it| (it.uid, it.gid) = (3_000_000, 4_000_000_000),
        b"",
    );
    add("f d/old=1", &|it| it.mtime = time(-2, 500_000_000), b"");
    add("f d/new=1", &|it| it.mtime = time(1 << 34, 1), b"");
    add(
        "f d/x=1",
        &|it| it.xattrs = xattrs(&[("user.a=b%", b"\0\n="), ("user.c", b"")]),
        b"",
    );
    add("l link->a/b", &same, b"");
    add("p pipe", &|it| it.mode = 0o600, b"");
    packer.finish().unwrap()
}

fn by_entries(tar: &[u8]) -> TreeDigest {
    let mut builder = DigestBuilder::new(Limits::default());
    let mut reader = Reader::new(tar, Limits::default());
    while let Some(entry) = reader.next_entry().unwrap() {
        builder.add(&entry, &mut reader).unwrap();
    }
    builder.finish()
}

#[test]
fn every_way_has_the_same_digest() {
    let bytes = everything();
    let expect = by_entries(&bytes);
    let spooled = read(&bytes, Dialect::Plain).unwrap().into_tree().unwrap();
    let in_place = read_in_place(&bytes, Dialect::Plain).unwrap();
    let layer = read(&bytes, Dialect::Layer).unwrap();
    let merged = Layer::merge(&[layer.clone(), layer]).unwrap().tree;
    assert_eq!(digest(&spooled), expect);
    assert_eq!(digest(&in_place.into_tree().unwrap()), expect);
    assert_eq!(digest(&merged), expect);

    let packed = pack(&spooled);
    assert_eq!(by_entries(&packed), expect);
    assert_eq!(pack(&merged), packed, "equal trees are equal bytes");
    assert_eq!(
        pack(&read(&packed, Dialect::Plain).unwrap().into_tree().unwrap()),
        packed
    );
}

#[test]
fn a_directory_is_the_same_tree() {
    let bytes = everything();
    let tree = read(&bytes, Dialect::Plain).unwrap().into_tree().unwrap();
    let lab = Scratch::new();
    let target = lab.0.join("tree");
    let writer = Writer::create(&target, Policy::of_this_user(), Limits::default()).unwrap();
    let report = tree.write_to(writer, || Ok(())).unwrap();
    assert_eq!(report.entries, tree.name_count() as u64 + 1);
    assert_eq!(report.count(Loss::Replaced), 0);
    let on_disk = TreeDigest::of_directory(&target, TWO, &Silent).unwrap();
    if report.is_faithful() {
        assert_eq!(on_disk, digest(&tree));
    }
    // And back: what lies there is not read before it is needed.
    let back = Tree::of_directory(&target, Limits::default(), || Ok(())).unwrap();
    assert_eq!(digest(&back), on_disk);
    assert_eq!(words(&back).len(), words(&tree).len());
    if report.is_faithful() {
        assert_eq!(pack(&back), pack(&tree));
    }
    // A file that is another one by now is an error.
    let old = target.join("d/old");
    fs::write(&old, "22").unwrap();
    let error = back.digest(TWO, |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Why::Local, "{error}");
    assert!(error.message().contains("d/old changed"), "{error}");
}

#[test]
fn holes_stay_holes() {
    let extents = [
        Extent {
            offset: 1 << 20,
            length: 4096,
        },
        Extent {
            offset: 3 << 20,
            length: 100,
        },
    ];
    let lab = Scratch::new();
    let path = lab.0.join("source");
    fs::create_dir(&path).unwrap();
    let file = fs::File::create(path.join("sparse")).unwrap();
    for extent in extents {
        let bytes = vec![7; usize::try_from(extent.length).unwrap()];
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, extent.offset).unwrap();
    }
    file.set_len(5 << 20).unwrap();
    file.sync_all().unwrap();
    let tree = Tree::of_directory(&path, Limits::default(), || Ok(())).unwrap();
    let node = tree.find(b"sparse").unwrap();
    let Some(map) = node.extents() else {
        eprintln!("skipped: this file system has no holes");
        return;
    };
    assert!(
        map.iter().map(|it| it.length).sum::<u64>() < 1 << 20,
        "{map:?}"
    );
    let mut content = Vec::new();
    node.open()
        .unwrap()
        .content()
        .read_to_end(&mut content)
        .unwrap();
    assert_eq!(content, fs::read(path.join("sparse")).unwrap());
    let target = lab.0.join("target");
    let writer = Writer::create(&target, Policy::of_this_user(), Limits::default()).unwrap();
    let report = tree.write_to(writer, || Ok(())).unwrap();
    assert!(report.bytes < 1 << 20);
    assert_eq!(fs::read(target.join("sparse")).unwrap(), content);
}

#[test]
fn who_stops_leaves_nothing() {
    let tree = read(&everything(), Dialect::Plain)
        .unwrap()
        .into_tree()
        .unwrap();
    let lab = Scratch::new();
    let stop = || Err::<(), _>(Error::new(Why::Cancelled, "stopped"));
    let target = lab.0.join("tree");
    let writer = Writer::create(&target, Policy::of_this_user(), Limits::default()).unwrap();
    assert_eq!(
        tree.write_to(writer, stop).unwrap_err().kind(),
        Why::Cancelled
    );
    assert_eq!(fs::read_dir(&lab.0).unwrap().count(), 0);
    assert!(tree.pack(Vec::new(), stop).is_err());
    assert!(tree.digest(TWO, |_, _| stop()).is_err());
    let bytes = tar(&["f a=1"]);
    let reader = Reader::new(&bytes[..], Limits::default());
    let keep =
        distro_fetch::tree::Keep::Spool(distro_fetch::tree::Spool::create(&scratch()).unwrap());
    let read: Result<_> = Layer::read(reader, Dialect::Layer, keep, Limits::default(), stop);
    assert_eq!(read.unwrap_err().kind(), Why::Cancelled);
}

#[test]
fn limits_hold() {
    let refuse = |lines: &[&str], limits: Limits| {
        let bytes = tar(lines);
        let reader = Reader::new(&bytes[..], Limits::default());
        let keep =
            distro_fetch::tree::Keep::Spool(distro_fetch::tree::Spool::create(&scratch()).unwrap());
        let read = Layer::read(reader, Dialect::Layer, keep, limits, || Ok(()));
        assert_eq!(read.unwrap_err().kind(), Why::Format, "{lines:?}");
    };
    let limits = Limits::default();
    refuse(
        &["f a", "f b", "f .wh.c"],
        Limits {
            entries: 2,
            ..limits
        },
    );
    refuse(&["f a=12345"], Limits { bytes: 4, ..limits });
    refuse(&["f a/b/c"], Limits { depth: 2, ..limits });
    refuse(&["f abcdef"], Limits { name: 5, ..limits });
    refuse(&[&format!("f {}", "n".repeat(256))], limits);
}

#[test]
fn names_are_found_among_many() {
    let mut packer = Packer::new(Vec::new());
    for at in (0..3000).rev() {
        let (entry, _) = entry(&format!("f d{}/{at}", at % 7));
        packer.add(&entry).unwrap();
    }
    let bytes = packer.finish().unwrap();
    let tree = read(&bytes, Dialect::Plain).unwrap().into_tree().unwrap();
    assert_eq!((tree.len(), tree.name_count()), (3008, 3007));
    assert!(tree.find(b"d3/2999").is_some() && tree.find(b"d4/2999").is_none());
    assert!(tree.walk().map(|it| it.path).is_sorted());
    let d3 = tree.find(b"d3").unwrap();
    assert!(d3.children().map(|(name, _)| name).is_sorted());
    let entry_kinds = tree.walk().filter_map(|it| it.entry());
    assert_eq!(entry_kinds.filter(|it| it.kind == Kind::File).count(), 3000);
}

/// A directory that goes with its value.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = scratch().join(format!("df-layers-{}", sys::unique_suffix()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = sys::clear_away(Path::new(&self.0));
    }
}
