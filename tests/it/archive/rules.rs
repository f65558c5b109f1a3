//! What the reader makes of each kind of entry, record and number; its limits.

use distro_fetch::Kind as ErrorKind;
use distro_fetch::archive::{Device, Kind, Limits, Reader, Time};

use super::kit::{Header, Listed, Tar, list, one, read, records_of, refusal};

/// Every kind of entry, in the three dialects that have it.
#[test]
fn kinds() {
    let device = Device { major: 8, minor: 1 };
    let cases: [(u8, &str, &str, Kind); 9] = [
        (b'0', "f", "", Kind::File),
        (0, "f", "", Kind::File),
        (b'7', "f", "", Kind::File),
        (b'1', "h", "to", Kind::Hardlink(b"to".to_vec())),
        (b'2', "l", "../to", Kind::Symlink(b"../to".to_vec())),
        (b'3', "c", "", Kind::Character(device)),
        (b'4', "b", "", Kind::Block(device)),
        (b'5', "d", "", Kind::Directory),
        (b'6', "p", "", Kind::Fifo),
    ];
    for make in [Header::new, Header::gnu, Header::v7] {
        for (flag, name, link, kind) in &cases {
            let mut header = make(*flag, name.as_bytes(), 0);
            header.put(157, link.as_bytes());
            if header.0[257] != 0 {
                header.put(329, b"0000010\x000000001\0");
            } else if matches!(flag, b'3' | b'4' | b'6') {
                continue;
            }
            let entry = one(&Tar::default().add(&header, b"").end()).entry;
            assert_eq!(entry.path, name.as_bytes());
            assert_eq!((entry.kind, entry.mode), (kind.clone(), 0o644));
            assert_eq!((entry.uid, entry.gid), (0o1750, 0o1751));
            assert_eq!(
                entry.mtime,
                Time {
                    seconds: 0o14_000_000_000,
                    nanos: 0
                }
            );
            assert_eq!((entry.size, entry.extents), (0, None));
        }
    }
}

#[test]
fn names() {
    let long = "n".repeat(300);
    let slashes = |tar: Tar| one(&tar.end());
    let header = |name: &str| Header::new(b'0', name.as_bytes(), 0);
    let mut prefixed = header("name");
    prefixed.put(345, b"some/prefix");
    let mut star = header("name");
    star.put(345, b"pre")
        .put(476, b"14000000000\0")
        .put(508, b"tar\0");
    let whole = "w".repeat(100);
    let empty = Tar::default();
    for (what, tar, expect) in [
        (
            "a slash makes a directory",
            empty.clone().file("d//", b""),
            "d",
        ),
        (
            "the root",
            empty.clone().add(&Header::new(b'5', b"./", 0), b""),
            ".",
        ),
        (
            "the root of all",
            empty.clone().add(&Header::new(b'5', b"/", 0), b""),
            "/",
        ),
        (
            "a prefix",
            empty.clone().add(&prefixed, b""),
            "some/prefix/name",
        ),
        (
            "star's prefix is shorter",
            empty.clone().add(&star, b""),
            "pre/name",
        ),
        ("no NUL at the end", empty.clone().file(&whole, b""), &whole),
        (
            "GNU",
            empty
                .clone()
                .long(b'L', &[long.as_bytes(), b"\0"].concat())
                .file("n", b""),
            &long,
        ),
        (
            "GNU without a NUL",
            empty.clone().long(b'L', long.as_bytes()).file("n", b""),
            &long,
        ),
        (
            "POSIX",
            empty
                .clone()
                .pax(&[("path", long.as_bytes())])
                .file("n", b""),
            &long,
        ),
        (
            "empty: the header's",
            empty.clone().pax(&[("path", b"")]).file("n", b""),
            "n",
        ),
        (
            "any bytes",
            empty.clone().file("\u{1b}[2J\n\\", b""),
            "\\x1b[2J\\n\\\\",
        ),
    ] {
        assert_eq!(slashes(tar).path(), expect, "{what}");
    }
    let raw = one(&Tar::default()
        .add(&Header::new(b'0', b"\xff\xfe", 0), b"")
        .end());
    assert_eq!(raw.entry.path, b"\xff\xfe");
    let link = Tar::default()
        .long(b'K', long.as_bytes())
        .add(&Header::gnu(b'2', b"l", 0), b"")
        .pax(&[("linkpath", long.as_bytes())])
        .add(&Header::new(b'2', b"m", 0), b"");
    for listed in list(&link.end()).unwrap() {
        assert_eq!(listed.entry.kind, Kind::Symlink(long.clone().into_bytes()));
    }
}

#[test]
fn records() {
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::default()
        .raw_pax(
            b'g',
            &records_of(&[("mtime", b"5"), ("uid", b"7"), ("comment", b"x")]),
        )
        .pax(&[
            ("size", b"5"),
            ("uid", b"4000000"),
            ("gid", b"3000000"),
            ("mtime", b"-1.25"),
            ("uname", b"joe"),
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.a%3Db", b"c"),
            ("LIBARCHIVE.xattr.user.%41", b"Zm9v"),
            (
                "LIBARCHIVE.xattr.security.capability",
                b"AQAAAgAgAAAAAAAAAAAAAAAAAAA",
            ),
            ("RHT.security.selinux", b"context"),
            (
                "SCHILY.acl.access",
                b"user::rw-,user:joe:r--:1000,group::r--,mask::r--,other::---",
            ),
            ("SCHILY.acl.ace", b"owner@:rwp:allow"),
            ("VENDOR.unknown", b"\0"),
        ])
        .add(&Header::new(b'0', b"f", 0), b"hello")
        .pax(&[("uid", b"")])
        .file("g", b"")
        .end();
    let listed = list(&tar).unwrap();
    let entry = &listed[0].entry;
    assert_eq!(listed[0].data, b"hello");
    assert_eq!(
        (entry.size, entry.uid, entry.gid),
        (5, 4_000_000, 3_000_000)
    );
    assert_eq!(
        entry.mtime,
        Time {
            seconds: -2,
            nanos: 750_000_000
        }
    );
    let names: Vec<_> = entry
        .xattrs
        .keys()
        .map(|name| name.escape_ascii().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "security.capability",
            "security.selinux",
            "system.posix_acl_access",
            "user.A",
            "user.a=b"
        ]
    );
    assert_eq!(entry.xattrs[&b"security.capability"[..]], capability);
    assert_eq!(
        entry.xattrs[&b"system.posix_acl_access"[..]].len(),
        4 + 5 * 8
    );
    // What one header says of all holds until another says otherwise; an empty value takes it back.
    let entry = &listed[1].entry;
    assert_eq!((entry.uid, entry.mtime.seconds), (0o1750, 5));
}

#[test]
fn numbers() {
    let mut header = Header::gnu(b'0', b"f", 0);
    header
        .put(108, b"\x80\0\0\0\0\x2d\xc6\xc0")
        .put(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe")
        .put(100, b"0104755\0");
    let entry = one(&Tar::default().add(&header, b"").end()).entry;
    assert_eq!(
        (entry.uid, entry.mtime.seconds, entry.mode),
        (3_000_000, -2, 0o4755)
    );

    // A checksum over signed bytes, as some old programs made it.
    let header = Header::new(b'0', b"\xe4\xf6\xfc", 0).sealed();
    let mut signed = header;
    signed[148..156].fill(b' ');
    let sum: i32 = signed
        .iter()
        .map(|byte| i32::from(byte.cast_signed()))
        .sum();
    signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_ne!(header, signed);
    let tar = Tar(signed.to_vec()).end();
    assert_eq!(one(&tar).entry.path, b"\xe4\xf6\xfc");
}

/// What is skipped: volume labels, what a directory of an incremental dump lists, data that nobody
/// reads.
#[test]
fn skipped() {
    let tar = Tar::default()
        .add(&Header::gnu(b'V', b"label", 0), b"")
        .add(&Header::gnu(b'D', b"dump/", 3), b"Yx\0")
        .file("a", &[1; 1000])
        .file("b", b"b")
        .end();
    let mut reader = Reader::new(&tar[..], Limits::default());
    let mut names = Vec::new();
    for entry in reader.entries() {
        names.push(entry.unwrap().path);
    }
    assert_eq!(names, [&b"dump"[..], b"a", b"b"]);
    let listed = list(&tar).unwrap();
    assert_eq!((listed[0].data.len(), listed[1].data.len()), (0, 1000));
}

/// Each limit: what reaches it passes, what exceeds it does not.
#[test]
fn limits() {
    let small = Limits {
        bytes: 2000,
        entries: 3,
        header: 100,
        name: 20,
        depth: 4,
        extents: 2,
        ..Limits::default()
    };
    let t = Tar::default;
    let listed = |tar: Tar| {
        let tar = tar.end();
        read(Reader::new(&tar[..], small)).map(|listed| listed.len())
    };
    for (good, bad, expect) in [
        (
            t().file("a", &[0; 2000]),
            t().file("a", &[0; 2001]),
            "2001 bytes long",
        ),
        (
            t().file("a", b"").file("b", b"").file("c", b""),
            t().raw_pax(b'g', b"")
                .file("a", b"")
                .file("b", b"")
                .file("c", b""),
            "more than 3 entries",
        ),
        (
            t().pax(&[("comment", &[b'x'; 87])]).file("a", b""),
            t().pax(&[("comment", &[b'x'; 88])]).file("a", b""),
            "header of 101 bytes",
        ),
        (
            t().file(&"n".repeat(20), b""),
            t().file(&"n".repeat(21), b""),
            "name of 21 bytes",
        ),
        (
            t().file("./a//b/c/d", b""),
            t().file("a/b/c/d/e", b""),
            "5 components",
        ),
    ] {
        assert!(listed(good).is_ok(), "{expect}");
        let error = listed(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.message().contains(expect), "{error}");
    }
    let claimed = Header::gnu(b'L', b"x", 1 << 33);
    let said = refusal(&t().add(&claimed, b"").end());
    assert!(said.contains("the limit is 1048576"), "{said}");
}

#[test]
fn after_an_error_there_is_nothing() {
    let mut tar = Tar::default().file("a", b"1").file("b", b"2").end();
    tar[1024] ^= 1;
    let mut reader = Reader::new(&tar[..], Limits::default());
    let mut entries = reader.entries();
    assert!(entries.next().unwrap().is_ok());
    assert!(entries.next().unwrap().is_err());
    assert!(entries.next().is_none());
    assert!(reader.next_entry().is_err());
    assert!(reader.next_block().is_err());
    assert!(reader.finish().is_err());
    let names = |listed: Vec<Listed>| listed.len();
    assert_eq!(
        list(&Tar::default().file("a", b"").end())
            .map(names)
            .unwrap(),
        1
    );
}
