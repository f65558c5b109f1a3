//! Lies, each refused with its reason before anything is there (HOSTILE 81, 82).

use std::fs;

use distro_fetch::Kind;

use super::kit::{COPIED, Image, PACKED, Style, convert, mixed, names, text};
use crate::harness::Lab;

/// What is done to a true image, and why it is refused then.
type Lie = (&'static str, fn(&mut Image), &'static str);

fn check(style: Style, lies: &[Lie]) {
    for (name, lie, why) in lies {
        let lab = Lab::new();
        let (source, target) = (lab.path("source.qcow2"), lab.path("target.raw"));
        let mut image = mixed(style);
        lie(&mut image);
        fs::write(&source, &image.bytes).unwrap();
        for threads in [1, 3] {
            match convert(&source, &target, threads) {
                Ok(_) => panic!("{name}: not refused"),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Format, "{name}: {error}");
                    assert!(error.to_string().contains(why), "{name}: {error}");
                }
            }
            assert_eq!(names(&lab.path("")), ["source.qcow2"], "{name}: litter");
        }
    }
}

const BOTH: &[Lie] = &[
    ("no magic", |it| it.bytes[0] = 0, "something else"),
    ("nothing", |it| it.bytes.clear(), "something else"),
    ("the magic alone", |it| it.bytes.truncate(4), "is cut off"),
    ("most of a header", |it| it.bytes.truncate(71), "is cut off"),
    ("version 0", |it| it.put32(4, 0), "qcow version 0"),
    ("version 1", |it| it.put32(4, 1), "qcow version 1"),
    ("version 4", |it| it.put32(4, 4), "qcow version 4"),
    ("cluster bits 0", |it| it.put32(20, 0), "2^0 bytes"),
    ("cluster bits 8", |it| it.put32(20, 8), "2^8 bytes"),
    ("cluster bits 22", |it| it.put32(20, 22), "2^22 bytes"),
    ("cluster bits 63", |it| it.put32(20, 63), "2^63 bytes"),
    (
        "cluster bits at most",
        |it| it.put32(20, u32::MAX),
        "bytes: there are",
    ),
    ("a backing file", |it| it.put64(8, 200), "backing file"),
    (
        "a backing file of a length only",
        |it| it.put32(16, 10),
        "backing file",
    ),
    ("AES", |it| it.put32(32, 1), "encrypted"),
    ("LUKS", |it| it.put32(32, 2), "encrypted"),
    (
        "another cipher",
        |it| it.put32(32, 3),
        "encrypted by method 3",
    ),
    ("2^64 bytes", |it| it.put64(24, u64::MAX), "a disk of"),
    ("2^63 bytes", |it| it.put64(24, 1 << 63), "a disk of"),
    ("1 EiB", |it| it.put64(24, 1 << 60), "a disk of"),
    (
        "a first table too large",
        |it| it.put32(36, 2),
        "its first table has 2 entries",
    ),
    (
        "a first table too small",
        |it| it.put32(36, 0),
        "its first table has 0 entries",
    ),
    (
        "a first table at most",
        |it| it.put32(36, u32::MAX),
        "its first table has",
    ),
    (
        "too many entries",
        |it| {
            it.put64(24, (4 << 20) * (512 * 4096) + 1);
            it.put32(36, (4 << 20) + 1);
        },
        "too many",
    ),
    (
        "a first table askew",
        |it| it.put64(40, it.l1 as u64 + 8),
        "first table is not aligned",
    ),
    (
        "a first table in the header",
        |it| it.put64(40, 0),
        "first table overlaps the header",
    ),
    (
        "a first table outside",
        |it| it.put64(40, 1 << 40),
        "first table is outside",
    ),
    (
        "a first table at most outside",
        |it| it.put64(40, u64::MAX << 12),
        "first table is outside",
    ),
    (
        "a first table that is cut off",
        |it| it.bytes.truncate(it.l1),
        "first table is outside",
    ),
    (
        "no reference counts",
        |it| it.put64(48, 0),
        "reference counts is not",
    ),
    (
        "reference counts of no clusters",
        |it| it.put32(56, 0),
        "reference counts is not",
    ),
    (
        "reference counts askew",
        |it| it.put64(48, 4097),
        "reference counts is not",
    ),
    (
        "reference counts outside",
        |it| it.put64(48, 1 << 50),
        "reference counts is not",
    ),
    (
        "one on top of the other",
        |it| it.put64(48, it.l1 as u64),
        "overlaps the reference counts",
    ),
    (
        "reference counts over all",
        |it| it.put32(56, u32::MAX),
        "overlaps the reference counts",
    ),
    (
        "too many snapshots",
        |it| it.put32(60, 65_537),
        "65537 snapshots",
    ),
    (
        "snapshots outside",
        |it| {
            it.put32(60, 1);
            it.put64(64, 1 << 40);
        },
        "1 snapshots",
    ),
    (
        "reserved bits, first table, low",
        |it| it.put64(it.l1, it.get64(it.l1) | 1),
        "reserved bits in the first table",
    ),
    (
        "reserved bits, first table, high",
        |it| it.put64(it.l1, it.get64(it.l1) | 1 << 56),
        "reserved bits in the first table",
    ),
    (
        "a compressed second table",
        |it| it.put64(it.l1, it.get64(it.l1) | PACKED),
        "reserved bits in the first table",
    ),
    (
        "a second table in the header",
        |it| it.put64(it.l1, COPIED),
        "second table overlaps the header",
    ),
    (
        "a second table askew",
        |it| it.put64(it.l1, it.get64(it.l1) + 512),
        "second table is not aligned",
    ),
    (
        "a second table outside",
        |it| it.put64(it.l1, 1 << 40),
        "second table is outside",
    ),
    (
        "a second table that is cut off",
        |it| it.bytes.truncate(it.entry(0) + 100),
        "second table is outside",
    ),
    (
        "the first table is its own second one",
        |it| it.put64(it.l1, it.l1 as u64),
        "second table overlaps the first table",
    ),
    (
        "a second table in the reference counts",
        |it| it.put64(it.l1, it.cluster() as u64),
        "second table overlaps the reference counts",
    ),
    (
        "reserved bits, low",
        |it| it.put64(it.entry(0), it.get64(it.entry(0)) | 2),
        "reserved bits in a second table",
    ),
    (
        "reserved bits, high",
        |it| it.put64(it.entry(0), it.get64(it.entry(0)) | 1 << 60),
        "reserved bits in a second table",
    ),
    (
        "a cluster askew",
        |it| it.put64(it.entry(0), it.get64(it.entry(0)) + 512),
        "a cluster is not aligned",
    ),
    (
        "a cluster in the header",
        |it| it.put64(it.entry(0), COPIED),
        "a cluster overlaps the header",
    ),
    (
        "a cluster outside",
        |it| it.put64(it.entry(0), COPIED | 1 << 40),
        "a cluster is outside",
    ),
    (
        "a cluster in the first table",
        |it| it.put64(it.entry(0), COPIED | it.l1 as u64),
        "a cluster overlaps the first table",
    ),
    (
        "a cluster in the reference counts",
        |it| it.put64(it.entry(0), COPIED | it.cluster() as u64),
        "a cluster overlaps the reference counts",
    ),
    (
        "a cluster in a second table",
        |it| it.put64(it.entry(0), it.get64(it.l1)),
        "a cluster overlaps a second table",
    ),
    (
        "data cut off",
        |it| {
            let data = it.get64(it.entry(0)) & !COPIED;
            it.bytes.truncate(usize::try_from(data).unwrap() + 100);
        },
        "is outside",
    ),
    (
        "compressed and in use once",
        |it| it.put64(it.entry(2), it.get64(it.entry(2)) | COPIED),
        "reserved bits of a compressed cluster",
    ),
    (
        "a compressed cluster outside",
        |it| it.put64(it.entry(2), it.packed_entry(1 << 40, 100)),
        "a compressed cluster is outside",
    ),
    (
        "a compressed cluster in the header",
        |it| it.put64(it.entry(2), it.packed_entry(10, 100)),
        "a compressed cluster overlaps the header",
    ),
    (
        "a compressed cluster in the first table",
        |it| it.put64(it.entry(2), it.packed_entry(it.l1 as u64, 100)),
        "a compressed cluster overlaps the first table",
    ),
    (
        "a bomb",
        |it| repack(it, &[0; 16 << 20]),
        "a compressed cluster",
    ),
    (
        "three bytes",
        |it| repack(it, b"abc"),
        "has 3 bytes instead of",
    ),
    ("no bytes", |it| repack(it, b""), "has 0 bytes instead of"),
    (
        "a byte too few",
        |it| repack(it, &text(it.cluster() - 1, 1)),
        "bytes instead of",
    ),
    (
        "a byte too many",
        |it| repack(it, &text(it.cluster() + 1, 1)),
        "larger than a cluster",
    ),
    (
        "damage",
        |it| {
            let entry = it.append_packed(&[0xff; 600]);
            it.put64(it.entry(2), entry);
        },
        "a compressed cluster is damaged",
    ),
    (
        "a compressed cluster that is cut off",
        |it| {
            let whole = it.pack(&text(it.cluster(), 1));
            let entry = it.append_packed(&whole[..whole.len() - 3]);
            it.put64(it.entry(2), entry);
        },
        "a compressed cluster is damaged or cut off",
    ),
];

/// Has another compressed content for a cluster.
fn repack(image: &mut Image, data: &[u8]) {
    let packed = image.pack(data);
    let entry = image.append_packed(&packed);
    image.put64(image.entry(2), entry);
}

#[test]
fn lies_in_any_version() {
    for style in [Style::V2, Style::V3, Style::ZSTD] {
        check(style, BOTH);
    }
}

#[test]
fn lies_of_version_2() {
    check(
        Style::V2,
        &[
            (
                "zeros by a flag",
                |it| it.put64(it.entry(1), 1),
                "reserved bits in a second table",
            ),
            (
                "an extension too long",
                |it| {
                    it.put32(72, 1);
                    it.put32(76, 5000);
                },
                "an extension of the header",
            ),
        ],
    );
}

const V3: &[Lie] = &[
    ("cut off", |it| it.bytes.truncate(100), "is cut off"),
    ("corrupt", |it| it.put64(72, 2), "marked corrupt"),
    ("another file", |it| it.put64(72, 4), "external file"),
    ("bit 5", |it| it.put64(72, 1 << 5), "bits 0x20"),
    (
        "bit 63",
        |it| it.put64(72, 1 << 63),
        "bits 0x8000000000000000",
    ),
    (
        "reference counts of 128 bits",
        |it| it.put32(96, 7),
        "counts of 2^7 bits",
    ),
    (
        "reference counts of 2^99 bits",
        |it| it.put32(96, 99),
        "counts of 2^99 bits",
    ),
    (
        "a header of version 2",
        |it| it.put32(100, 72),
        "a header of 72 bytes",
    ),
    (
        "a header of odd length",
        |it| it.put32(100, 108),
        "a header of 108 bytes",
    ),
    (
        "a header longer than a cluster",
        |it| it.put32(100, 4104),
        "a header of 4104 bytes",
    ),
    (
        "a header of 2 GiB",
        |it| it.put32(100, 1 << 31),
        "a header of 2147483648 bytes",
    ),
    (
        "another compression without its bit",
        |it| {
            it.put32(100, 112);
            it.bytes[104] = 1;
        },
        "compression of type 1",
    ),
    (
        "the bit without another compression",
        |it| it.put64(72, 8),
        "compression of type 0",
    ),
    (
        "parts of small clusters",
        |it| it.put64(72, 16),
        "too small for 32 parts",
    ),
    (
        "an extension too long",
        |it| {
            it.put32(104, 1);
            it.put32(108, 4000);
        },
        "an extension of the header",
    ),
    (
        "an extension of 4 GiB",
        |it| {
            it.put32(104, 1);
            it.put32(108, u32::MAX);
        },
        "an extension of the header",
    ),
    (
        "an external file by its name alone, too long",
        |it| {
            it.put32(104, 0x4441_5441);
            it.put32(108, 1 << 20);
        },
        "an extension of the header",
    ),
    (
        "one cluster for all",
        |it| {
            let data = it.get64(it.entry(0));
            it.put64(24, 512 * 4096);
            for nth in 0..512 {
                it.put64(it.entry(nth), data);
            }
        },
        "bytes of data, and the file has",
    ),
    (
        "zeros and a place outside of alignment",
        |it| it.put64(it.entry(7), it.get64(it.entry(7)) + 512),
        "a cluster is not aligned",
    ),
];

#[test]
fn lies_of_version_3() {
    check(Style::V3, V3);
    check(
        Style::ZSTD,
        &[
            (
                "the type without its bit",
                |it| it.put64(72, 0),
                "compression of type 1",
            ),
            (
                "compression 2",
                |it| it.bytes[104] = 2,
                "compression of type 2",
            ),
        ],
    );
}

#[test]
fn lies_about_parts() {
    check(
        Style::EXTENDED,
        &[
            (
                "there, and zeros",
                |it| it.put64(it.entry(0) + 8, 1 << 32 | 1),
                "contradict each other",
            ),
            (
                "there, and nowhere",
                |it| it.put64(it.entry(1) + 8, 1),
                "contradict each other",
            ),
            (
                "zeros by the old flag",
                |it| it.put64(it.entry(1), 1),
                "reserved bits in a second table",
            ),
            (
                "parts of a compressed cluster",
                |it| it.put64(it.entry(2) + 8, 1 << 40),
                "reserved bits of a compressed cluster",
            ),
            (
                "a part outside",
                |it| it.put64(it.entry(7), COPIED | 1 << 40),
                "a cluster is outside",
            ),
            (
                "a part in a second table",
                |it| it.put64(it.entry(7), it.get64(it.l1)),
                "a cluster overlaps a second table",
            ),
        ],
    );
}

#[test]
fn one_second_table_for_two() {
    // Clusters so small that the disk has three tables.
    check(
        Style::V3.with_bits(9),
        &[(
            "twice the same",
            |it| it.put64(it.l1 + 8, it.get64(it.l1)),
            "share a second one",
        )],
    );
}
