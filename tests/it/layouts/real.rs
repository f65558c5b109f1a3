//! Images that others made, against what others made of them.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use distro_fetch::archive::{Format, Limits, Reader};
use distro_fetch::event::Silent;
use distro_fetch::sys;
use distro_fetch::tree::{Policy, Thing, Tree, TreeDigest};
use sha2::{Digest as _, Sha256};

use super::kit::{Scratch, open, opening, text};
use crate::crash::strace::required;
use crate::shared::shared;

fn tree(source: &str) -> Tree {
    let spool = std::env::temp_dir();
    open(source).unwrap().tree(opening(&spool)).unwrap()
}

fn threads() -> NonZeroUsize {
    NonZeroUsize::new(2).unwrap()
}

fn digest(tree: &Tree) -> TreeDigest {
    tree.digest(threads(), |_, _| Ok(())).unwrap()
}

/// umoci's verdict: path, and words of it.
type Verdict = BTreeMap<Vec<u8>, BTreeMap<String, String>>;

/// mtree(5), as go-mtree writes it.
fn read_mtree(path: &Path) -> Verdict {
    let mut verdict = Verdict::new();
    let mut defaults = BTreeMap::new();
    let mut here: Vec<Vec<u8>> = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == ".." {
            here.pop();
            continue;
        }
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let mut keys: BTreeMap<String, String> = defaults.clone();
        let said = words.filter_map(|it| it.split_once('='));
        keys.extend(said.map(|(key, value)| (key.to_owned(), value.to_owned())));
        if name == "/set" {
            defaults = keys;
            continue;
        }
        let name = if name == "." { Vec::new() } else { unvis(name) };
        let mut full = here.last().cloned().unwrap_or_default();
        if !full.is_empty() {
            full.push(b'/');
        }
        full.extend_from_slice(&name);
        if keys["type"] == "dir" {
            here.push(full.clone());
        }
        verdict.insert(full, keys);
    }
    verdict
}

/// vis(3): octal escapes.
fn unvis(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let digits: Vec<u8> = bytes.by_ref().take(3).collect();
        let number = digits
            .iter()
            .fold(0_u32, |n, it| n * 8 + u32::from(it - b'0'));
        out.push(u8::try_from(number).unwrap());
    }
    out
}

fn compare(tree: &Tree, verdict: &Verdict, what: &str) {
    let walk: BTreeMap<_, _> = tree.walk().map(|it| (it.path, it.node)).collect();
    let names = |it: Vec<&Vec<u8>>| -> Vec<String> {
        it.into_iter()
            .map(|it| it.escape_ascii().to_string())
            .collect()
    };
    assert_eq!(
        names(walk.keys().collect()),
        names(verdict.keys().collect()),
        "{what}"
    );
    for (path, node) in walk {
        let keys = &verdict[&path];
        let at = format!("{what}: {}", path.escape_ascii());
        let number = |key: &str| keys[key].parse::<u64>().unwrap();
        let kind = match node.thing() {
            Thing::Folder => "dir",
            Thing::File { .. } => "file",
            Thing::Symlink(_) => "link",
            Thing::Character(_) => "char",
            Thing::Block(_) => "block",
            Thing::Fifo => "fifo",
            Thing::Socket => "socket",
        };
        assert_eq!(kind, keys["type"], "{at}");
        assert_eq!(
            (node.uid(), node.gid()),
            (number("uid"), number("gid")),
            "{at}"
        );
        let seconds: i64 = keys["tar_time"].split('.').next().unwrap().parse().unwrap();
        // Directories that no layer names were made when umoci ran.
        assert_eq!(node.mtime().seconds, seconds, "{at}");
        match node.thing() {
            Thing::Symlink(to) => assert_eq!(to, unvis(&keys["link"]), "{at}"),
            _ => assert_eq!(
                format!("{:04o}", node.mode()),
                format!("{:04o}", u32::from_str_radix(&keys["mode"], 8).unwrap()),
                "{at}"
            ),
        }
        if let Thing::File { size } = node.thing() {
            assert_eq!(size, number("size"), "{at}");
            assert_eq!(u64::from(node.names()), number("nlink"), "{at}");
            let mut content = Vec::new();
            let stored = node.open().unwrap();
            std::io::Read::read_to_end(&mut stored.content(), &mut content).unwrap();
            let hash = Sha256::digest(&content);
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, keys["sha256digest"], "{at}");
        }
        let xattrs = keys.keys().filter(|key| key.starts_with("xattr.")).count();
        assert_eq!(node.xattrs().len(), xattrs, "{at}: {keys:?}");
    }
}

#[test]
fn images_are_what_umoci_makes_of_them() {
    let Some(images) = shared("images/oci") else {
        return;
    };
    let at = |name: &str| text(&images.join(name)).to_owned();
    let verdict = |name: &str| read_mtree(&images.join("EXPECTED").join(name));
    for tag in ["l1", "l2", "final"] {
        let source = format!("{}:{tag}", at("alpine-umoci"));
        let expect = verdict(&format!("alpine-umoci_{tag}.mtree"));
        compare(&tree(&source), &expect, &source);
    }
    let last = digest(&tree(&format!("{}:final", at("alpine-umoci"))));
    for name in ["alpine-zstd", "alpine-v2s2-dir"] {
        assert_eq!(digest(&tree(&at(name))), last, "{name}");
    }
    let error = open(&at("alpine-umoci")).unwrap_err();
    assert!(
        error.message().contains("base, final, l1, l2, l3"),
        "{error}"
    );
}

/// By root: what lies on disk, by umoci and by us.
#[test]
fn directories_are_what_umoci_makes_of_them() {
    let Some(images) = shared("images/oci") else {
        return;
    };
    if !sys::is_root() {
        eprintln!("skipped: only root can make what umoci makes");
        return;
    }
    let found = Command::new("umoci").arg("--version").output();
    if !required("umoci", found.is_ok_and(|it| it.status.success())) {
        return;
    }
    let scratch = Scratch::new();
    for (layout, tag) in [
        ("alpine-umoci", "final"),
        ("alpine-umoci", "l3"),
        ("alpine-zstd", "final"),
    ] {
        let path = images.join(layout);
        let theirs = scratch.path("theirs");
        let output = Command::new("umoci")
            .args(["raw", "unpack", "--image"])
            .arg(format!("{}:{tag}", text(&path)))
            .arg(&theirs)
            .output()
            .unwrap();
        if !output.status.success() {
            // Older ones do not know zstd.
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(layout, "alpine-zstd", "{said}");
            eprintln!("skipped: umoci cannot read {layout}");
            continue;
        }
        let ours = scratch.path("ours");
        let source = open(&format!("{}:{tag}", text(&path))).unwrap();
        let spool = scratch.path("");
        let report = source
            .to_dir(&ours, Policy::everything(), opening(&spool))
            .unwrap();
        assert!(report.is_faithful(), "{report:?}");
        let of = |path: &Path| TreeDigest::of_directory(path, threads(), &Silent).unwrap();
        assert_eq!(of(&ours), of(&theirs), "{layout}:{tag}");
        assert_eq!(of(&ours), digest(&source.tree(opening(&spool)).unwrap()));
        for path in [ours, theirs] {
            sys::clear_away(&path).unwrap();
        }
    }
}

/// By root: a chain of a Docker data root against Docker's own export of the container.
#[test]
fn a_chain_is_what_docker_exports() {
    let Some(folder) = shared("images/overlay2") else {
        return;
    };
    if !sys::is_root() {
        eprintln!("skipped: only root can restore a Docker data root");
        return;
    }
    let scratch = Scratch::new();
    let root = scratch.path("docker");
    let pack = folder.join("docker-data-root-overlay2.tar.zst");
    let file = fs::File::open(pack).unwrap();
    distro_fetch::rootfs::unpack(file, Format::Zstd, &root, &Policy::everything(), &Silent)
        .unwrap();
    let exported = folder.join("docker-export-alpine-l1.tar.zst");
    let expect = tree(text(&exported));
    // The container of that image: the one with its own layer on top of Docker's initial one.
    let tops = sys::names(&root.join("overlay2")).unwrap();
    let mut seen = 0;
    for name in tops
        .iter()
        .filter(|it| tops.contains(&format!("{it}-init")))
    {
        let path = root.join("overlay2").join(name);
        let found = tree(text(&path));
        if found.find(b"opt/app").is_none() {
            assert!(found.find(b"usr/bin/dpkg").is_some(), "Debian's");
            continue;
        }
        seen += 1;
        let names = |tree: &Tree| -> Vec<String> {
            let walk = tree.walk().skip(1).filter_map(|it| it.entry());
            walk.map(|mut it| {
                // Docker exports no attributes but capabilities, and whole seconds.
                it.xattrs.retain(|name, _| name == b"security.capability");
                it.mtime.nanos = 0;
                it.extents = None;
                format!("{it:?}")
            })
            .collect()
        };
        let (ours, theirs) = (names(&found), names(&expect));
        let differ: Vec<_> = ours.iter().filter(|it| !theirs.contains(it)).collect();
        let missing: Vec<_> = theirs.iter().filter(|it| !ours.contains(it)).collect();
        assert!(
            differ.is_empty() && missing.is_empty(),
            "{differ:#?} {missing:#?}"
        );
    }
    assert_eq!(seen, 1);
}

/// Every archive of a whole tree there is: the digest of its tree is that of its entries.
#[test]
fn archives_have_the_digest_of_their_entries() {
    let Some(folder) = shared("images/tar") else {
        return;
    };
    let mut seen = 0;
    for name in sys::names(&folder).unwrap() {
        let Some(format) = Format::of_file_name(&name) else {
            continue;
        };
        let path = folder.join(&name);
        let open = || fs::File::open(&path).unwrap();
        let limits = Limits::default();
        let mut builder = distro_fetch::tree::DigestBuilder::new(limits);
        let mut reader = Reader::open(
            open(),
            format,
            limits,
            distro_fetch::archive::Checks::Verify,
        )
        .unwrap();
        while let Some(entry) = reader.next_entry().unwrap() {
            builder.add(&entry, &mut reader).unwrap();
        }
        assert_eq!(digest(&tree(text(&path))), builder.finish(), "{name}");
        seen += 1;
    }
    assert!(seen > 2, "{seen}");
}
