//! The digest of a tree: pinned, sensitive to everything, and the same from archive and disk.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;

use distro_fetch::archive::{Device, Extent, Kind as What, Limits};
use distro_fetch::event::{Event, Observer, Silent};
use distro_fetch::tree::{Policy, TreeDigest};
use distro_fetch::{Kind, Result};

use super::ground::{
    Ground, Made, file, folder, hardlink, is_root, mode, owner, skip, special, symlink, write,
    xattr,
};

fn of(entries: &[Made]) -> TreeDigest {
    let pairs = entries.iter().map(|(entry, data)| (entry, data.as_slice()));
    TreeDigest::of_entries(pairs, Limits::default()).unwrap()
}

fn on_disk(path: &Path, threads: usize) -> Result<TreeDigest> {
    TreeDigest::of_directory(path, NonZeroUsize::new(threads).unwrap(), &Silent)
}

/// One of everything.
fn everything() -> Vec<Made> {
    let device = |major, minor| Device { major, minor };
    let mut sparse = file("sparse", vec![9; 5000]);
    sparse.0.size = 1 << 20;
    sparse.0.extents = Some(vec![
        Extent {
            offset: 4096,
            length: 4096,
        },
        Extent {
            offset: 65_536,
            length: 904,
        },
    ]);
    let mut past = file("past", "before 1970");
    (past.0.mtime.seconds, past.0.mtime.nanos) = (-5, 999_999_999);
    vec![
        mode(folder("./"), 0o751),
        owner(mode(folder("etc"), 0o1775), 3, 4),
        owner(mode(file("etc/passwd", "root:x:0:0\n"), 0o644), 0, 42),
        mode(file("bin/su", "\x7fELF"), 0o6755),
        xattr(file("bin/ping", ""), "user.note", "n"),
        xattr(xattr(file("bin/two", ""), "user.b", ""), "user.a", "\0"),
        symlink("lib", "usr/lib"),
        hardlink("etc/passwd-", "etc/passwd"),
        hardlink("again", "etc/passwd-"),
        special("run/pipe", What::Fifo),
        special("dev/null", What::Character(device(1, 3))),
        special("dev/sda", What::Block(device(8, 0))),
        file(b"odd\xff name\n", "odd"),
        sparse,
        past,
        file("twice", "first"),
        file("twice", "second"),
    ]
}

/// These bytes are a promise: a change of them is a new version of the format.
#[test]
fn digests_are_pinned() {
    let check = |entries: &[Made], expect: &str| assert_eq!(of(entries).to_string(), expect);
    check(&[], EMPTY);
    check(&[file("a", "hello\n")], ONE_FILE);
    check(&everything(), EVERYTHING);
}

/// The format once more, by hand: the smallest tree, byte for byte.
#[test]
fn the_smallest_tree_is_what_the_essay_says() {
    use sha2::{Digest as _, Sha256};
    let mut bytes = b"distro-fetch tree 1\n".to_vec();
    let mut record = Vec::new();
    record.extend(0_u64.to_le_bytes()); // the path of the root
    record.push(b'd');
    record.extend(0o755_u32.to_le_bytes());
    record.extend([0; 16]); // uid, gid
    record.extend([0; 12]); // seconds, nanoseconds
    record.extend(0_u64.to_le_bytes()); // no attributes
    bytes.extend((record.len() as u64).to_le_bytes());
    bytes.extend(record);
    let expect: [u8; 32] = Sha256::digest(&bytes).into();
    assert_eq!(of(&[]).as_digest().as_bytes(), &expect);
}

/// A field and a change of it.
type Field = (&'static str, fn(&mut Made));

#[test]
fn every_field_counts() {
    let base = || vec![folder("d"), file("d/f", "data"), symlink("l", "text")];
    let plain = of(&base());
    let mut seen = vec![plain];
    let mut check = |what: &str, change: &dyn Fn(&mut Vec<Made>)| {
        let mut entries = base();
        change(&mut entries);
        let digest = of(&entries);
        assert!(!seen.contains(&digest), "{what}");
        seen.push(digest);
    };
    for (at, name) in ["folder", "file", "symlink"].iter().enumerate() {
        let fields: [Field; 5] = [
            ("uid", |made| made.0.uid = 1),
            ("gid", |made| made.0.gid = 1),
            ("large uid", |made| made.0.uid = 1 << 32),
            ("seconds", |made| made.0.mtime.seconds += 1),
            ("nanos", |made| made.0.mtime.nanos += 1),
        ];
        for (field, change) in fields {
            check(&format!("{field} of {name}"), &|it| change(&mut it[at]));
        }
        for (key, value) in [
            ("user.a", "b"),
            ("user.a", "c"),
            ("user.ab", ""),
            ("trusted.a", "b"),
        ] {
            let add = |it: &mut Vec<Made>| it[at] = xattr(it[at].clone(), key, value);
            check(&format!("{key}={value} of {name}"), &add);
        }
    }
    for bit in 0..12 {
        check("mode", &|it| it[1].0.mode ^= 1 << bit);
        check("mode of a folder", &|it| it[0].0.mode ^= 1 << bit);
    }
    check("content", &|it| it[1].1[0] ^= 1);
    check("size", &|it| it[1] = file("d/f", "data\0"));
    check("path", &|it| it[1].0.path = b"d/g".to_vec());
    check("place", &|it| it[1].0.path = b"f".to_vec());
    check("text", &|it| it[2] = symlink("l", "texts"));
    check("type", &|it| it[2] = file("l", "text"));
    check("copy", &|it| it.push(file("d/g", "data")));
    check("link", &|it| it.push(hardlink("d/g", "d/f")));
    check("pipe", &|it| it.push(special("x", What::Fifo)));
    let device = |major, minor| Device { major, minor };
    for (a, b) in [(1, 3), (3, 1), (1, 4)] {
        for kind in [What::Character(device(a, b)), What::Block(device(a, b))] {
            let add = |it: &mut Vec<Made>| it.push(special("x", kind.clone()));
            check("device", &add);
        }
    }
    check("root", &|it| it.push(mode(folder("."), 0o755)));
    check("empty folder", &|it| it.push(folder("e")));
}

#[test]
fn what_means_nothing_does_not_count() {
    let base = [file("a/x", "1"), file("a-b", "2"), file("a/b/c", "3")];
    let plain = of(&base);
    let mut other = base.to_vec();
    other.reverse();
    assert_eq!(of(&other), plain, "order");
    let spelled = [
        file("./a//x", "1"),
        file("a-b", "2"),
        file("./a/./b/c", "3"),
    ];
    assert_eq!(of(&spelled), plain, "spelling");
    for label in [
        "security.selinux",
        "security.ima",
        "security.SMACK64EXEC",
        "system.nfs4_acl",
    ] {
        let mut labelled = base.to_vec();
        labelled[0] = xattr(labelled[0].clone(), label, "x");
        assert_eq!(of(&labelled), plain, "{label}");
    }
    let mut implied = base.to_vec();
    let mut a = folder("a");
    (a.0.mtime.seconds, a.0.mtime.nanos) = (0, 0);
    implied.insert(0, a);
    assert_eq!(
        of(&implied),
        plain,
        "an implied directory is one that says the same"
    );

    let linked = [file("a", "x"), hardlink("b", "a")];
    let swapped = [file("b", "x"), hardlink("a", "b")];
    assert_eq!(of(&linked), of(&swapped), "which name came first");

    let mut holes = file("a", "xy");
    holes.0.size = 100_000;
    holes.0.extents = Some(vec![
        Extent {
            offset: 0,
            length: 1,
        },
        Extent {
            offset: 99_999,
            length: 1,
        },
    ]);
    let mut zeros = vec![0; 100_000];
    (zeros[0], zeros[99_999]) = (b'x', b'y');
    assert_eq!(of(&[holes]), of(&[file("a", zeros)]), "where holes are");

    let mut link = symlink("l", "x");
    link.0.mode = 0o644;
    assert_eq!(of(&[link]), of(&[symlink("l", "x")]), "the mode of a link");
}

/// HOSTILE 61 and 62.
#[test]
fn an_archive_and_its_extraction_have_one_digest() {
    if !is_root() {
        return skip("owners and devices are root's");
    }
    let ground = Ground::new();
    let mut entries = everything();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    entries.push(xattr(
        file("bin/cap", ""),
        "security.capability",
        capability,
    ));
    entries.push(xattr(folder("d"), "trusted.overlay.opaque", "y"));
    entries.push(xattr(symlink("marked", "x"), "trusted.mark", "m"));
    entries.push(mode(folder("closed"), 0));
    entries.push(file("closed/x", "in the dark"));
    let policy = Policy::everything();
    let report = write(&ground.target(), &entries, policy, Limits::default()).unwrap();
    if !report.is_faithful() {
        return skip("this root or this file system cannot keep it all");
    }
    let expect = of(&entries);
    for threads in [1, 2, 3, 16] {
        assert_eq!(
            on_disk(&ground.target(), threads).unwrap(),
            expect,
            "{threads} threads"
        );
    }
    // One byte, and one mode, and one time.
    let path = ground.target().join("etc/passwd");
    let meta = fs::metadata(&path).unwrap();
    let permissions: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&path, permissions).unwrap();
    assert_ne!(on_disk(&ground.target(), 2).unwrap(), expect);
    fs::set_permissions(&path, meta.permissions()).unwrap();
    assert_eq!(on_disk(&ground.target(), 2).unwrap(), expect);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_ne!(on_disk(&ground.target(), 2).unwrap(), expect);
}

#[test]
fn a_directory_that_cannot_be_read_is_an_error() {
    let ground = Ground::new();
    assert_eq!(
        on_disk(&ground.path("absent"), 1).unwrap_err().kind(),
        Kind::Local
    );
    fs::write(ground.path("file"), "").unwrap();
    assert_eq!(
        on_disk(&ground.path("file"), 1).unwrap_err().kind(),
        Kind::Local
    );
}

#[test]
fn an_observer_hears_and_stops() {
    struct Stops;
    impl Observer for Stops {
        fn on(&self, _: Event<'_>) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let ground = Ground::new();
    ground.write(&[file("a", "x"), file("b", "y")]).unwrap();
    let two = NonZeroUsize::new(2).unwrap();
    let error = TreeDigest::of_directory(&ground.target(), two, &Stops).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
}

#[test]
fn a_digest_is_read_as_it_is_written() {
    let digest = of(&[]);
    assert_eq!(digest.to_string().parse::<TreeDigest>().unwrap(), digest);
    assert!("x".parse::<TreeDigest>().is_err());
}

const EMPTY: &str = "f7e1b936e318f8addeb2f7ca7146a9dd9c2a5502138d199d1d5b3798339c056b";
const ONE_FILE: &str = "914e5c2122318d3e7dc929d4c62c392be4015a12819acbb78cdb814dda71b07a";
const EVERYTHING: &str = "31a309a6698e3a1f851b75d882b375667a36c2f18679d6f64c08d7d645e44f7d";
