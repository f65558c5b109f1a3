//! Sparse files: four spellings of the same map, and maps that lie.

use distro_fetch::archive::{Extent, Limits, Reader};

use super::kit::{Header, Listed, Tar, list, one, read, records_of, refusal};

const SIZE: u64 = 10_000;
const MAP: [(u64, u64); 3] = [(512, 1024), (4096, 512), (9000, 700)];

fn data() -> Vec<u8> {
    (0..2236_u32)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

fn field(header: &mut Header, at: usize, number: u64) {
    if number >> 33 == 0 {
        header.put(at, format!("{number:011o}\0").as_bytes());
    } else {
        header
            .put(at, b"\x80\0\0\0")
            .put(at + 4, &number.to_be_bytes());
    }
}

/// A GNU `S` header over pieces, with extension blocks behind it as needed.
fn old(map: &[(u64, u64)], size: u64, data: &[u8]) -> Tar {
    let mut header = Header::gnu(b'S', b"sparse", data.len());
    for (at, (offset, length)) in map.iter().take(4).enumerate() {
        field(&mut header, 386 + 24 * at, *offset);
        field(&mut header, 398 + 24 * at, *length);
    }
    header.0[482] = u8::from(map.len() > 4);
    field(&mut header, 483, size);
    let mut tar = Tar::default().add(&header, b"");
    let rest = map.get(4..).unwrap_or_default();
    for (nth, pieces) in rest.chunks(21).enumerate() {
        let mut block = Header([0; 512]);
        for (at, (offset, length)) in pieces.iter().enumerate() {
            field(&mut block, 24 * at, *offset);
            field(&mut block, 24 * at + 12, *length);
        }
        block.0[504] = u8::from((nth + 1) * 21 < rest.len());
        tar = tar.data(&block.0);
    }
    tar.data(data)
}

fn zero_zero(map: &[(u64, u64)], size: u64, data: &[u8]) -> Tar {
    let mut records = vec![
        ("GNU.sparse.size", size.to_string()),
        ("GNU.sparse.numblocks", map.len().to_string()),
    ];
    for (offset, length) in map {
        records.push(("GNU.sparse.offset", offset.to_string()));
        records.push(("GNU.sparse.numbytes", length.to_string()));
    }
    with(&records, "sparse", data)
}

fn zero_one(map: &[(u64, u64)], size: u64, data: &[u8]) -> Tar {
    let numbers: Vec<_> = map
        .iter()
        .flat_map(|(offset, length)| [offset, length])
        .collect();
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    let records = [
        ("GNU.sparse.name", "sparse".to_owned()),
        ("GNU.sparse.size", size.to_string()),
        ("GNU.sparse.numblocks", map.len().to_string()),
        ("GNU.sparse.map", numbers.join(",")),
    ];
    with(&records, "GNUSparseFile.1/sparse", data)
}

fn one_zero(map: &[(u64, u64)], size: u64, data: &[u8]) -> Tar {
    let mut text = format!("{}\n", map.len());
    for (offset, length) in map {
        text.push_str(&format!("{offset}\n{length}\n"));
    }
    let mut whole = text.into_bytes();
    whole.resize(whole.len().next_multiple_of(512), 0);
    whole.extend_from_slice(data);
    one_zero_raw(size, &whole)
}

fn one_zero_raw(size: u64, data: &[u8]) -> Tar {
    let records = [
        ("GNU.sparse.major", "1".to_owned()),
        ("GNU.sparse.minor", "0".to_owned()),
        ("GNU.sparse.name", "sparse".to_owned()),
        ("GNU.sparse.realsize", size.to_string()),
    ];
    with(&records, "GNUSparseFile.1/sparse", data)
}

fn with(records: &[(&str, String)], name: &str, data: &[u8]) -> Tar {
    let records: Vec<_> = records
        .iter()
        .map(|(keyword, value)| (*keyword, value.as_bytes()))
        .collect();
    Tar::default().pax(&records).file(name, data)
}

type Make = fn(&[(u64, u64)], u64, &[u8]) -> Tar;
const SPELLINGS: [(&str, Make); 4] = [
    ("old", old),
    ("0.0", zero_zero),
    ("0.1", zero_one),
    ("1.0", one_zero),
];

#[test]
fn one_map_in_four_spellings() {
    for (spelling, make) in SPELLINGS {
        let tar = make(&MAP, SIZE, &data()).file("next", b"n").end();
        let listed = list(&tar).unwrap();
        let [sparse, next] = &listed[..] else {
            panic!("{spelling}: {listed:?}");
        };
        assert_eq!(
            (sparse.path(), next.path()),
            ("sparse".into(), "next".into())
        );
        let extents: Vec<_> = MAP
            .iter()
            .map(|(offset, length)| Extent {
                offset: *offset,
                length: *length,
            })
            .collect();
        assert_eq!(sparse.entry.extents.as_ref(), Some(&extents), "{spelling}");
        assert_eq!((sparse.entry.size, sparse.data == data()), (SIZE, true));
        let content = sparse.content();
        assert_eq!(content[512..1536], data()[..1024], "{spelling}");
        assert_eq!((content[511], content[9699]), (0, data()[2235]));
    }
}

#[test]
fn maps_of_any_length() {
    for (spelling, make) in SPELLINGS {
        for pieces in [0_u64, 1, 4, 5, 25, 26, 47, 500] {
            let map: Vec<_> = (0..pieces).map(|at| (at * 4096 + 512, 512)).collect();
            let data = vec![7; map.len() * 512];
            let size = pieces * 4096 + 1;
            let listed = one(&make(&map, size, &data).end());
            let found = listed.entry.extents.unwrap();
            assert_eq!(found.len(), map.len(), "{spelling} {pieces}");
            assert_eq!(listed.entry.size, size);
        }
    }
}

/// Pieces that touch are one, empty ones are none, and a file without holes is an ordinary one.
#[test]
fn maps_are_brought_to_one_form() {
    for (spelling, make) in SPELLINGS {
        let map = [(0, 512), (512, 512), (1000 + 48, 0), (2048, 100), (SIZE, 0)];
        let listed = one(&make(&map, SIZE, &vec![1; 1124]).end());
        let expect = [(0, 1024), (2048, 100)].map(|(offset, length)| Extent { offset, length });
        assert_eq!(
            listed.entry.extents.as_deref(),
            Some(&expect[..]),
            "{spelling}"
        );
        let full = one(&make(&[(0, 512), (512, 88)], 600, &vec![1; 600]).end());
        assert_eq!(
            (full.entry.extents, full.entry.size),
            (None, 600),
            "{spelling}"
        );
        let empty = one(&make(&[(0, 0)], 0, b"").end());
        assert_eq!(
            (empty.entry.extents, empty.entry.size),
            (None, 0),
            "{spelling}"
        );
    }
}

#[test]
fn maps_that_lie() {
    for (spelling, make) in SPELLINGS {
        for (what, map, size, length, expect) in [
            (
                "overlap",
                &[(0, 1024), (512, 512)][..],
                SIZE,
                1536,
                "out of order",
            ),
            (
                "order",
                &[(4096, 512), (0, 512)],
                SIZE,
                1024,
                "out of order",
            ),
            ("beyond", &[(9728, 512)], SIZE, 512, "beyond its file"),
            ("more data", &[(0, 512)], SIZE, 1024, "512 bytes for 1024"),
            ("less data", &[(0, 1024)], SIZE, 512, "1024 bytes for 512"),
            (
                "not whole blocks",
                &[(0, 100), (512, 100)],
                SIZE,
                200,
                "fill their blocks",
            ),
            (
                "huge",
                &[(0, 512)],
                1 << 40,
                512,
                "1099511627776 bytes long",
            ),
        ] {
            let said = refusal(&make(map, size, &vec![1; length]).end());
            assert!(said.contains(expect), "{spelling}, {what}: {said}");
        }
        let limits = Limits {
            extents: 2,
            ..Limits::default()
        };
        let tar = make(&MAP, SIZE, &data()).end();
        let error = read(Reader::new(&tar[..], limits)).unwrap_err();
        assert!(
            error.message().contains("more than 2 pieces"),
            "{spelling}: {error}"
        );
    }
}

#[test]
fn maps_that_are_none() {
    let records = |records: &[(&str, &str)]| {
        let records: Vec<_> = records.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        with(&records, "f", b"")
    };
    let cases = [
        (
            "of an unknown version",
            records(&[("GNU.sparse.major", "2"), ("GNU.sparse.minor", "0")]),
        ),
        ("without a map", records(&[("GNU.sparse.name", "f")])),
        ("without the size", records(&[("GNU.sparse.map", "0,0")])),
        (
            "without a length",
            records(&[("GNU.sparse.size", "9"), ("GNU.sparse.map", "0")]),
        ),
        (
            "without an offset",
            records(&[("GNU.sparse.numbytes", "9")]),
        ),
        (
            "another length",
            records(&[
                ("GNU.sparse.size", "0"),
                ("GNU.sparse.numblocks", "2"),
                ("GNU.sparse.map", "0,0"),
            ]),
        ),
        (
            "two versions at once",
            records(&[
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.realsize", "0"),
                ("GNU.sparse.map", "0,0"),
            ]),
        ),
        ("unknown word", records(&[("GNU.sparse.colour", "red")])),
        (
            "another size",
            records(&[("GNU.sparse.size", "1"), ("GNU.sparse.realsize", "2")]),
        ),
        (
            "no number",
            one_zero_raw(100, &[b"x\n"[..].to_vec(), vec![0; 510]].concat()),
        ),
        ("malformed sparse map", one_zero_raw(100, &[b'1'; 512])),
        ("longer than the data", one_zero_raw(100, b"1\n0\n")),
        (
            "longer than the data",
            one_zero_raw(100, &[&b"1\n"[..], &[b'0'; 18], b"\n"].concat()),
        ),
        (
            "more than 1048576 pieces",
            one_zero_raw(100, &[&b"9999999\n"[..], &[0; 504]].concat()),
        ),
        (
            "unknown kind",
            Tar::default().add(&Header::new(b'S', b"f", 0), b""),
        ),
        ("real size is negative", old(&[], 0, b"")),
        ("a gap", old(&[(0, 0), (0, 0)], 0, b"")),
        ("within a sparse map", old(&[(0, 0); 5], 0, b"")),
        ("two names", Tar::default()),
    ];
    for (expect, mut tar) in cases {
        match expect {
            "real size is negative" => {
                tar.0[483..495].fill(0xff);
                reseal(&mut tar.0);
            }
            "a gap" => {
                tar.0[398] = 0;
                reseal(&mut tar.0);
            }
            "within a sparse map" => {
                tar.0.truncate(512);
                let said = refusal(&tar.0);
                assert!(said.contains(expect), "{expect}: {said}");
                continue;
            }
            "two names" => {
                // The map makes it a sparse file of version 0.1.
                let record = records_of(&[
                    ("GNU.sparse.name", b"abc"),
                    ("GNU.sparse.map", b"0,0"),
                    ("GNU.sparse.size", b"0"),
                ]);
                tar = Tar::default()
                    .long(b'L', b"g")
                    .raw_pax(b'x', &record)
                    .file("f", b"");
            }
            _ => {}
        }
        let said = refusal(&tar.end());
        assert!(said.contains(expect), "{expect}: {said}");
    }
    // star leaves a lone real size of its own, which says nothing.
    let lone = records(&[("SCHILY.realsize", "0")]).end();
    let listed: Listed = one(&lone);
    assert_eq!(listed.entry.extents, None);
}

/// Gives the first header its checksum anew.
fn reseal(tar: &mut [u8]) {
    let mut header = Header([0; 512]);
    header.put(0, &tar[..512]);
    tar[..512].copy_from_slice(&header.sealed());
}
