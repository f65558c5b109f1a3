//! One archive per reason to refuse it.

use distro_fetch::archive::{Empty, Limits, Reader};

use super::kit::{Header, Tar, read, records_of, refusal};

/// Each archive, and the same behind another entry, is refused for a reason that says so.
fn check(cases: Vec<(&str, Tar)>) {
    for (expect, tar) in cases {
        let said = refusal(&tar.clone().end());
        assert!(said.contains(expect), "{expect}: {said}");
        let behind = [&Tar::default().file("first", b"1").0[..], &tar.end()].concat();
        let said = refusal(&behind);
        assert!(said.contains(expect), "{expect}: {said}");
    }
}

fn t() -> Tar {
    Tar::default()
}

fn h(flag: u8, size: usize) -> Header {
    Header::new(flag, b"x", size)
}

/// A file whose header has these bytes at a place.
fn bent(at: usize, bytes: &[u8]) -> Tar {
    t().add(h(b'0', 0).put(at, bytes), b"")
}

fn path(name: &[u8]) -> Tar {
    t().pax(&[("path", name)])
}

/// A file behind an extended header with this data.
fn raw(data: &[u8]) -> Tar {
    t().raw_pax(b'x', data).file("f", b"")
}

fn global(keyword: &str, value: &[u8]) -> Tar {
    t().raw_pax(b'g', &records_of(&[(keyword, value)]))
}

#[test]
fn one_thing_said_twice() {
    check(vec![
        // Two systems for one thing.
        (
            "two names",
            t().long(b'L', b"a").pax(&[("path", b"b")]).file("c", b""),
        ),
        (
            "two names",
            t().pax(&[("path", b"b")]).long(b'L', b"a").file("c", b""),
        ),
        (
            "two link texts",
            t().long(b'K', b"a")
                .pax(&[("linkpath", b"b")])
                .add(&h(b'2', 0), b""),
        ),
        (
            "two long names",
            t().long(b'L', b"a").long(b'L', b"a").file("c", b""),
        ),
        (
            "two long link",
            t().long(b'K', b"a").long(b'K', b"a").file("c", b""),
        ),
        (
            "two extended",
            path(b"a").pax(&[("uid", b"1")]).file("c", b""),
        ),
        (
            "twice",
            t().pax(&[("size", b"1"), ("size", b"1")]).file("c", b""),
        ),
        (
            "another value",
            t().pax(&[
                ("SCHILY.xattr.user.a", b"1"),
                ("LIBARCHIVE.xattr.user.a", b"Mg"),
            ])
            .file("c", b""),
        ),
        // What speaks for all may not name, measure or dress each.
        ("record \"path\" for all", global("path", b"p")),
        ("record \"linkpath\" for all", global("linkpath", b"p")),
        ("record \"size\" for all", global("size", b"0")),
        ("for all", global("SCHILY.xattr.user.a", b"1")),
        ("for all", global("GNU.sparse.major", b"1")),
        (
            "between an entry",
            path(b"a").raw_pax(b'g', b"").file("c", b""),
        ),
        (
            "between an entry",
            t().long(b'L', b"a").add(&Header::gnu(b'V', b"v", 0), b""),
        ),
    ]);
}

#[test]
fn malformed_records() {
    check(vec![
        // Malformed records.
        ("no length", raw(b"path=a\n")),
        ("no length", raw(b"+9 path=a\n")),
        ("no length", raw(b" 9 path=a\n")),
        ("no length", raw(b"99999999999999999999999 path=a\n")),
        ("longer than its header", raw(b"99 path=a\n")),
        ("no newline", raw(b"9 path=ab\n")),
        ("no newline", raw(b"9 path=ab")),
        ("shorter than its length", raw(b"2 ")),
        ("no keyword", raw(b"5 =a\n")),
        ("no keyword", raw(b"6 abc\n")),
        ("a NUL in its keyword", raw(b"10 pat\0=a\n")),
        ("no length", raw(b"10 path=a\n\0\0")),
        ("a NUL in", path(b"a\0b").file("c", b"")),
        (
            "a NUL in",
            t().pax(&[("linkpath", b"a\0")]).add(&h(b'2', 0), b""),
        ),
        ("a NUL in", t().pax(&[("uname", b"a\0")]).file("c", b"")),
        ("no number", t().pax(&[("size", b"+5")]).file("c", b"")),
        ("no number", t().pax(&[("size", b"-5")]).file("c", b"")),
        ("no number", t().pax(&[("uid", b"0x5")]).file("c", b"")),
        (
            "no number",
            t().pax(&[("gid", b"9223372036854775808")]).file("c", b""),
        ),
        ("no time", t().pax(&[("mtime", b"1e5")]).file("c", b"")),
        (
            "character set",
            t().pax(&[("hdrcharset", b"UTF-7")]).file("c", b""),
        ),
        (
            "several volumes",
            t().pax(&[("GNU.volume.offset", b"1")]).file("c", b""),
        ),
        (
            "base 64",
            t().pax(&[("LIBARCHIVE.xattr.user.a", b"*")]).file("c", b""),
        ),
        (
            "proper name",
            t().pax(&[("SCHILY.xattr.", b"a")]).file("c", b""),
        ),
        (
            "ACL",
            t().pax(&[("SCHILY.acl.access", b"user::rwx")])
                .file("c", b""),
        ),
        (
            "from before there were any",
            t().add(&Header::v7(b'x', b"x", 0), b""),
        ),
        (
            "of an older kind",
            t().pax(&[("uid", b"1")])
                .add(&Header::v7(b'0', b"f", 0), b""),
        ),
    ]);
}

#[test]
fn names_and_numbers() {
    check(vec![
        // Names.
        ("a NUL within the name", bent(1, b"\0x")),
        ("a NUL within the link name", bent(157, b"a\0b")),
        ("a NUL within the prefix", bent(345, b"a\0b")),
        ("holds a NUL", t().long(b'L', b"a\0b\0").file("c", b"")),
        ("is empty", t().long(b'L', b"\0").file("c", b"")),
        ("without a name", bent(0, b"\0")),
        ("links to nothing", t().add(&h(b'2', 0), b"")),
        (
            "a prefix in a header",
            t().add(Header::v7(b'0', b"a", 0).put(345, b"p"), b""),
        ),
        (
            "access time",
            t().add(Header::gnu(b'0', b"a", 0).put(345, b"p"), b""),
        ),
        // Numbers.
        ("the size is negative", bent(124, &[0xff; 12])),
        (
            "the size is too large",
            bent(124, b"\x80\0\0\0\x80\0\0\0\0\0\0\0"),
        ),
        ("the size is not a number", bent(124, b"12x")),
        ("the owner is negative", bent(108, &[0xff; 8])),
        ("the mode is not a number", bent(100, b"rw-r--r-")),
        (
            "device number",
            t().add(h(b'3', 0).put(329, b"\x80\0\0\x01\0\0\0\0"), b""),
        ),
        (
            "no room for its number",
            t().add(&Header::v7(b'3', b"c", 0), b""),
        ),
    ]);
}

#[test]
fn kinds_and_places() {
    check(vec![
        // What is no file has no data.
        ("is no file", t().add(&h(b'5', 1), b"x")),
        ("is no file", t().add(h(b'1', 1).put(157, b"t"), b"x")),
        ("is no file", t().file("d/", b"x")),
        (
            "is no file",
            t().pax(&[("size", b"1")]).add(&h(b'6', 0), b"x"),
        ),
        // Kinds.
        ("unknown type 'Q'", t().add(&h(b'Q', 0), b"")),
        ("unknown type 'A'", t().add(&h(b'A', 0), b"")),
        ("unknown type '\\xff'", t().add(&h(0xff, 0), b"")),
        ("several volumes", t().add(&Header::gnu(b'M', b"x", 0), b"")),
        // What does not come.
        ("does not follow", t().file("a", b"").long(b'L', b"x")),
        ("does not follow", t().file("a", b"").pax(&[("uid", b"1")])),
    ]);
}

#[test]
fn ends() {
    let whole = Tar::default().file("a", &[1; 600]).file("b", b"b").end();
    let length = whole.len();
    for (what, tar, expect) in [
        ("whole", &whole[..], "listed a b"),
        ("a lone zero block", &whole[..length - 512], "listed a b"),
        (
            "no marker",
            &whole[..length - 1024],
            "without an end marker",
        ),
        (
            "half a zero block",
            &whole[..length - 600],
            "ends within a header",
        ),
        (
            "within the padding",
            &whole[..1500],
            "entry \"a\" at byte 0: it ends within the data",
        ),
        (
            "within the data",
            &whole[..1000],
            "entry \"a\" at byte 0: it ends within the data",
        ),
        ("within a header", &whole[..1600], "ends within a header"),
        ("nothing", &[], "without an end marker"),
        ("zeros", &[0; 10240], "there is no entry in it"),
    ] {
        let said = refusal(tar);
        assert!(said.contains(expect), "{what}: {said}");
    }
    let mut behind = whole.clone();
    behind.extend_from_slice(&Tar::default().file("evil", b"").end());
    behind.extend_from_slice(b"and more");
    assert_eq!(refusal(&behind), "listed a b");
    let mut amid = Tar::default().file("a", b"");
    amid.0.extend_from_slice(&[0; 512]);
    let said = refusal(&amid.file("b", b"").end());
    assert!(said.contains("lone block of zeros"), "{said}");
    let mut flipped = whole.clone();
    flipped[3] ^= 1;
    let said = refusal(&flipped);
    assert_eq!(said, "tar: entry at byte 0: a header with a wrong checksum");

    let layer = Reader::new(&[0; 1024][..], Limits::default()).with_empty(Empty::Allow);
    assert_eq!(read(layer).unwrap(), []);
}
