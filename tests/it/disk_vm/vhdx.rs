//! VHDX by hand.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use distro_fetch::disk::{Disk, DiskFormat, Extent, Place};

use super::{assert_refused, decode, put};
use crate::harness::{Lab, noise};

const MEGABYTE: usize = 1 << 20;
/// The block table, the metadata, and where blocks begin.
const TABLE: usize = MEGABYTE;
const METADATA: usize = 2 * MEGABYTE;
const BLOCKS: usize = 3 * MEGABYTE;

const IDS: [(&str, usize); 5] = [
    ("6677c22d23f600429d64115e9bfd4a08", 8), // the block table
    ("06a27c8b90479a4bb8fe575f050f886e", 8), // the metadata
    ("3767a1ca36fa434db3b633f0aa44e76b", 8), // parameters
    ("2442a52f1bcd7648b2115dbed83bf4b8", 8), // the size
    ("1dbf41816fa90947ba47f233a8faab5f", 4), // of a sector
];

fn id(index: usize) -> Vec<u8> {
    let digits = IDS[index].0;
    (0..16)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

/// Makes a checksum right.
fn seal(bytes: &mut [u8]) {
    put(bytes, 4, &[0; 4]);
    let sum = bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    });
    put(bytes, 4, &(!sum).to_le_bytes());
}

/// The first three megabytes, with entries of the table. Every sum is right.
fn front(size: u64, block: u32, sector: u32, entries: &[(usize, u64)]) -> Vec<u8> {
    let mut file = vec![0; BLOCKS];
    put(&mut file, 0, b"vhdxfile");
    for (at, sequence) in [(64 << 10, 5), (128 << 10, 6)] {
        put(&mut file, at, b"head");
        file[at + 8] = sequence;
        file[at + 66] = 1;
    }
    put(&mut file, 192 << 10, b"regi");
    file[(192 << 10) + 8] = 2;
    for (index, place) in [(0, TABLE), (1, METADATA)] {
        let at = (192 << 10) + 16 + index * 32;
        put(&mut file, at, &id(index));
        put(&mut file, at + 16, &(place as u64).to_le_bytes());
        put(&mut file, at + 24, &(1_u32 << 20).to_le_bytes());
        file[at + 28] = 1;
    }
    put(&mut file, METADATA, b"metadata");
    file[METADATA + 10] = 3;
    let values = [u64::from(block), size, u64::from(sector)];
    for (index, value) in values.into_iter().enumerate() {
        let (at, offset) = (METADATA + 32 * (index + 1), (64 << 10) + index * 8);
        let width = IDS[index + 2].1;
        put(&mut file, at, &id(index + 2));
        put(
            &mut file,
            at + 16,
            &u32::try_from(offset).unwrap().to_le_bytes(),
        );
        file[at + 20] = u8::try_from(width).unwrap();
        file[at + 24] = 4;
        put(&mut file, METADATA + offset, &value.to_le_bytes()[..width]);
    }
    for (index, entry) in entries {
        put(&mut file, TABLE + index * 8, &entry.to_le_bytes());
    }
    reseal(&mut file);
    file
}

fn reseal(file: &mut [u8]) {
    seal(&mut file[64 << 10..][..4096]);
    seal(&mut file[128 << 10..][..4096]);
    seal(&mut file[192 << 10..][..64 << 10]);
}

/// The entry of a block at so many megabytes.
fn at(megabytes: u64) -> u64 {
    megabytes << 20 | 6
}

pub(super) fn sample() -> (Vec<u8>, Vec<u8>) {
    let size = 4 * MEGABYTE + 1536;
    let entries = [(0, at(4)), (1, 2), (2, 1), (3, 3), (4, at(3))];
    let mut file = front(size as u64, 1 << 20, 512, &entries);
    let (last, first) = (noise(MEGABYTE), vec![9; MEGABYTE]);
    file.extend(&last);
    file.extend(&first);
    let mut disk = vec![0; size];
    put(&mut disk, 0, &first);
    put(&mut disk, 4 * MEGABYTE, &last[..1536]);
    (file, disk)
}

#[test]
fn every_state_of_a_block() {
    let lab = Lab::new();
    let (mut image, disk) = sample();
    assert!(decode(&lab, &image, DiskFormat::Vhdx).unwrap() == disk);
    // The older header is not looked at, whatever it says; nor is a broken one.
    image[(64 << 10) + 48] = 1;
    reseal(&mut image);
    assert!(decode(&lab, &image, DiskFormat::Vhdx).unwrap() == disk);
    image[64 << 10] = 0;
    assert!(decode(&lab, &image, DiskFormat::Vhdx).unwrap() == disk);
    let empty = front(0, 1 << 20, 4096, &[]);
    assert!(decode(&lab, &empty, DiskFormat::Vhdx).unwrap().is_empty());
}

/// After every so many blocks the table has an entry that is none of a block.
#[test]
fn entries_of_bitmaps_are_passed_over() {
    let lab = Lab::new();
    let block = 256_u64 << 20;
    // 16 blocks of 256 MiB for a bitmap of 2^23 sectors of 512 bytes; 128 of 4096.
    for (sector, period) in [(512, 16), (4096, 128)] {
        let size = (period + 2) * block;
        let index = usize::try_from(period).unwrap();
        let path = lab.path("big");
        let write = |entries: &[(usize, u64)]| {
            let file = File::create(&path).unwrap();
            let front = front(size, 256 << 20, sector, entries);
            file.write_all_at(&front, 0).unwrap();
            file.set_len(BLOCKS as u64 + 2 * block).unwrap();
            Disk::open(&path, DiskFormat::Vhdx).unwrap()
        };
        let disk = write(&[(index - 1, at(3)), (index + 2, at(3 + 256))]);
        let extents: Vec<_> = disk.extents().map(|it| it.unwrap()).collect();
        let extent = |from: u64, to: u64, offset: Option<usize>| Extent {
            start: from * block,
            length: (to - from) * block,
            place: offset.map_or(Place::Zero, |offset| Place::Data {
                file: 0,
                offset: offset as u64,
            }),
        };
        let expect = [
            extent(0, period - 1, None),
            extent(period - 1, period, Some(BLOCKS)),
            extent(period, period + 1, None),
            extent(period + 1, period + 2, Some(BLOCKS + (256 << 20))),
        ];
        assert_eq!(extents, expect);
        let disk = write(&[(index, at(3))]);
        let error = disk.survey().unwrap_err();
        assert!(error.message().contains("a bitmap"), "{error}");
    }
}

#[test]
fn disks_that_lie() {
    let lab = Lab::new();
    let (image, _) = sample();
    let (new, regions) = (128 << 10, 192 << 10);
    let (entry, item) = (METADATA + 32, METADATA + (64 << 10));
    for (at, value, why) in [
        (new + 48, &[1][..], "its log was not replayed"),
        (new + 66, &[2], "VHDX version 2"),
        (new + 8, &[5, 0, 0, 0, 0, 0, 0, 0, 1], "none is newer"),
        (new + 70, &[0x10], "the log overlaps"),
        (new + 68, &[1], "the log is not made of whole megabytes"),
        (regions, b"x", "its table of regions is damaged"),
        (regions + 8, &[0xff, 0xff], "a table of 65535 regions"),
        (regions + 8, &[1], "no region with the metadata"),
        (regions + 16, &[1], "a region that is not known"),
        (regions + 32, &[1], "whole megabytes"),
        (regions + 34, &[0], "overlaps the header section"),
        (regions + 34, &[0x20], "overlaps"),
        (regions + 37, &[0xff], "is outside"),
        (regions + 40, &[0, 0, 0, 0], "whole megabytes"),
        (METADATA, b"x", "its table of metadata is damaged"),
        (
            METADATA + 10,
            &[0xff, 0xff],
            "its table of metadata is damaged",
        ),
        (METADATA + 10, &[2], "its metadata lack"),
        (entry, &[1], "metadata that are not known"),
        (entry + 16, &[1, 0, 0], "an item of its metadata"),
        (entry + 19, &[0xff], "an item of its metadata"),
        (entry + 20, &[9], "an item of its metadata"),
        (item, &[1], "blocks of 1048577"),
        (item, &[0, 0, 8], "blocks of 524288"),
        (item + 3, &[0x20], "blocks of"),
        (item + 4, &[2], "a parent"),
        (item + 4, &[4], "flags that are not known"),
        (item + 8, &[1], "a disk of"),
        (item + 14, &[0x41], "a disk of"),
        (item + 12, &[0x40], "its block table has 1048576 bytes"),
        (item + 16, &[0, 4], "sectors of 1024"),
        (TABLE, &[7], "partly in a parent"),
        (TABLE, &[4], "in state 4"),
        (TABLE, &[5], "in state 5"),
        (TABLE, &[0x16], "reserved bits"),
        (TABLE, &[6, 0, 0], "a block overlaps the header section"),
        (TABLE, &[6, 0, 0x10], "a block overlaps the block table"),
        (TABLE, &[6, 0, 0x20], "a block overlaps the metadata"),
        (TABLE, &[6, 0, 0x50], "a block is outside"),
        (TABLE, &[6, 0, 0, 0, 0, 0, 0, 0xff], "a block is outside"),
    ] {
        let mut image = image.clone();
        put(&mut image, at, value);
        if at != regions {
            reseal(&mut image);
        }
        assert_refused(decode(&lab, &image, DiskFormat::Vhdx), why);
    }
    let mut parent = image.clone();
    let locator = 0xa8d3_5f2d_u32.to_le_bytes();
    put(&mut parent, entry, &locator);
    put(
        &mut parent,
        entry + 4,
        &[0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8],
    );
    put(&mut parent, entry + 12, &[0x48, 0x34, 0xab, 0x0c]);
    assert_refused(decode(&lab, &parent, DiskFormat::Vhdx), "a parent");
    let mut broken = image.clone();
    (broken[new + 100], broken[(64 << 10) + 100]) = (1, 1);
    assert_refused(
        decode(&lab, &broken, DiskFormat::Vhdx),
        "both of its headers",
    );
    // One block for all addresses.
    let entries: Vec<_> = (0..64).map(|index| (index, at(3))).collect();
    let mut bomb = front(64 << 20, 1 << 20, 512, &entries);
    bomb.resize(4 * MEGABYTE, 1);
    assert_refused(
        decode(&lab, &bomb, DiskFormat::Vhdx),
        "refer to 67108864 bytes",
    );
}
