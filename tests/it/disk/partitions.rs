//! Partition tables of disks that grow: the backup goes to the new end, or nothing is touched.

use std::fs;
use std::path::Path;

use distro_fetch::disk::{CopyOptions, Gpt, copy_disk};

use super::kit::{have, judge, run, salted, text};
use crate::harness::Lab;

/// A disk of so many sectors with one partition.
fn disk(sector: usize, sectors: usize) -> Vec<u8> {
    let mut disk = vec![0; sectors * sector];
    let last = sectors as u64 - 1;
    // Nothing lies behind the last usable sector but entries and header.
    let table = (128 * 128_usize).div_ceil(sector) as u64;
    let mut entries = vec![0; 128 * 128];
    entries[..16].copy_from_slice(&salted(16, 7));
    entries[16..32].copy_from_slice(&salted(16, 8));
    let (first, end) = (2 + table, last - table - 1);
    entries[32..40].copy_from_slice(&first.to_le_bytes());
    entries[40..48].copy_from_slice(&end.to_le_bytes());
    for (own, other, at) in [(1, last, 2), (last, 1, last - table)] {
        let mut header = vec![0; sector];
        header[..8].copy_from_slice(b"EFI PART");
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(8, &0x0001_0000_u32.to_le_bytes());
        put(12, &92_u32.to_le_bytes());
        put(24, &own.to_le_bytes());
        put(32, &other.to_le_bytes());
        put(40, &first.to_le_bytes());
        put(48, &end.to_le_bytes());
        put(56, &salted(16, 9));
        put(72, &at.to_le_bytes());
        put(80, &128_u32.to_le_bytes());
        put(84, &128_u32.to_le_bytes());
        put(88, &crc32(&entries).to_le_bytes());
        let sum = crc32(&header[..92]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        let mut lay = |sector_number: u64, bytes: &[u8]| {
            let at = usize::try_from(sector_number).unwrap() * sector;
            disk[at..at + bytes.len()].copy_from_slice(bytes);
        };
        lay(own, &header);
        lay(at, &entries);
    }
    mbr(&mut disk, 0xee, 1, u32::try_from(last).unwrap());
    let content = text(5000, 1);
    let at = usize::try_from(first).unwrap() * sector;
    disk[at..at + content.len()].copy_from_slice(&content);
    disk
}

/// The four partitions of old, of which there is one.
fn mbr(disk: &mut [u8], kind: u8, first: u32, sectors: u32) {
    disk[446 + 4] = kind;
    disk[446 + 8..446 + 12].copy_from_slice(&first.to_le_bytes());
    disk[446 + 12..446 + 16].copy_from_slice(&sectors.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Both tables of a disk, judged by a reader of our own.
struct Table {
    entries: Vec<u8>,
    last_usable: u64,
}

fn table(disk: &[u8], sector: usize) -> Table {
    let at = |n: u64| usize::try_from(n).unwrap() * sector;
    let number =
        |header: &[u8], at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    let small =
        |header: &[u8], at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let last = (disk.len() / sector) as u64 - 1;
    let mut both = [(1, last), (last, 1)].map(|(own, other)| {
        let header = &disk[at(own)..][..sector];
        assert_eq!(&header[..8], b"EFI PART", "at {own}");
        let mut bare = header[..92].to_vec();
        bare[16..20].fill(0);
        assert_eq!(crc32(&bare), small(header, 16), "checksum at {own}");
        assert_eq!((number(header, 24), number(header, 32)), (own, other));
        let entries = number(header, 72);
        if own == 1 {
            assert_eq!(entries, 2);
        } else {
            assert!(
                entries > number(header, 48) && entries < own,
                "at {entries}"
            );
        }
        let content = disk[at(entries)..][..128 * 128].to_vec();
        assert_eq!(crc32(&content), small(header, 88), "entries at {entries}");
        Table {
            entries: content,
            last_usable: number(header, 48),
        }
    });
    assert_eq!(both[0].entries, both[1].entries);
    assert_eq!(both[0].last_usable, both[1].last_usable);
    let [first, _] = &mut both;
    Table {
        entries: std::mem::take(&mut first.entries),
        last_usable: first.last_usable,
    }
}

/// Outside judges of disks with sectors of 512 bytes.
fn judged(path: &Path) {
    let path = path.to_str().unwrap();
    if have("sgdisk") {
        let text = judge("sgdisk", &["-v", path]);
        assert!(text.contains("No problems found"), "{text}");
    }
    if have("sfdisk") {
        let text = judge("sfdisk", &["--verify", path]);
        assert!(text.contains("No errors detected"), "{text}");
    }
}

fn grown(lab: &Lab, original: &[u8], size: u64, fit_gpt: bool) -> (Gpt, Vec<u8>) {
    let (source, target) = (lab.path("source.raw"), lab.path("target.raw"));
    fs::write(&source, original).unwrap();
    let _ = fs::remove_file(&target);
    let options = CopyOptions {
        size: Some(size),
        fit_gpt,
        ..CopyOptions::default()
    };
    let gpt = copy_disk(&source, &target, options).unwrap();
    assert!(
        fs::read(&source).unwrap() == original,
        "the original is only read"
    );
    let copy = fs::read(&target).unwrap();
    assert_eq!(copy.len() as u64, size);
    (gpt, copy)
}

#[test]
fn the_backup_is_at_the_end() {
    let lab = Lab::new();
    for (sector, sectors) in [(512, 4096), (4096, 1024)] {
        let original = disk(sector, sectors);
        let before = table(&original, sector);
        let length = original.len();
        // By one sector, within the old backup, by much, and by no whole number of sectors.
        for more in [
            sector,
            10 * sector,
            40 * sector,
            9 << 20,
            (9 << 20) + sector + 77,
        ] {
            let (gpt, copy) = grown(&lab, &original, (length + more) as u64, true);
            assert_eq!(gpt, Gpt::Moved, "{sector} {more}");
            let after = table(&copy, sector);
            assert_eq!(after.entries, before.entries);
            assert_eq!(
                after.last_usable,
                before.last_usable + (more / sector) as u64
            );
            // Content is where it was, the old backup is nowhere.
            let first = 2 * sector + 128 * 128;
            let end = length - sector - 128 * 128;
            assert!(copy[first..end] == original[first..end]);
            let headers = copy.windows(8).step_by(512).filter(|it| *it == b"EFI PART");
            assert_eq!(headers.count(), 2, "{sector} {more}");
            let covers = u32::from_le_bytes(copy[458..462].try_into().unwrap());
            assert_eq!(covers as usize, copy.len() / sector - 1);
            if sector == 512 {
                judged(&lab.path("target.raw"));
            }
        }
        // What fits is let be.
        let (gpt, copy) = grown(&lab, &original, length as u64, true);
        assert_eq!(gpt, Gpt::Fits);
        assert!(copy == original);
        let (gpt, copy) = grown(&lab, &original, length as u64 + 100, true);
        assert_eq!(gpt, Gpt::Fits);
        assert!(copy[..length] == original);
    }
}

/// A disk that nothing but zeros was added to.
fn assert_untouched(original: &[u8], copy: &[u8], when: &str) {
    let (old, new) = copy.split_at(original.len());
    assert!(old == original, "{when}: touched");
    assert!(new.iter().all(|byte| *byte == 0), "{when}: written to");
}

/// Makes the checksum of the first header right.
fn again(disk: &mut [u8]) {
    disk[512 + 16..512 + 20].fill(0);
    let sum = crc32(&disk[512..512 + 92]);
    disk[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
}

fn flip(disk: &mut [u8], at: usize) {
    disk[at] ^= 1;
}

/// What is done to a disk, and why it is left alone then, if that is told.
type Damage = (&'static str, fn(&mut [u8]), Option<&'static str>);

const DAMAGES: &[Damage] = &[
    (
        "a bit of the header",
        |it| flip(it, 512 + 50),
        Some("checksum of its header"),
    ),
    (
        "a bit of the entries",
        |it| flip(it, 1024 + 50),
        Some("checksum of its entries"),
    ),
    (
        "a header of no bytes",
        |it| it[512 + 12..512 + 16].fill(0),
        Some("impossible length"),
    ),
    (
        "a header of 4 GiB",
        |it| it[512 + 12..512 + 16].fill(0xff),
        Some("impossible length"),
    ),
    (
        "no entries",
        |it| {
            it[512 + 80..512 + 84].fill(0);
            again(it);
        },
        Some("number of entries"),
    ),
    (
        "all the entries there can be",
        |it| {
            it[512 + 80..512 + 84].fill(0xff);
            again(it);
        },
        Some("number of entries"),
    ),
    (
        "entries of 8 bytes",
        |it| {
            it[512 + 84..512 + 88].copy_from_slice(&8_u32.to_le_bytes());
            again(it);
        },
        Some("number of entries"),
    ),
    (
        "entries nowhere",
        |it| {
            it[512 + 72..512 + 80].fill(0xff);
            again(it);
        },
        Some("sectors that are not there"),
    ),
    (
        "entries in the first sector",
        |it| {
            it[512 + 72..512 + 80].fill(0);
            again(it);
        },
        Some("sectors that are not there"),
    ),
    (
        "a backup beyond the end",
        |it| {
            it[512 + 32..512 + 40].fill(0xff);
            again(it);
        },
        Some("sectors that are not there"),
    ),
    (
        "a partition up to the end",
        |it| {
            it[512 + 48..512 + 56].fill(0xff);
            again(it);
        },
        Some("no room"),
    ),
    (
        "an MBR",
        |it| {
            it.fill(0);
            mbr(it, 0x83, 2048, 2000);
        },
        None,
    ),
    ("nothing", |it| it.fill(0), None),
];

#[test]
fn what_is_damaged_or_of_another_kind_is_left_alone() {
    let lab = Lab::new();
    let whole = disk(512, 4096);
    for (name, damage, why) in DAMAGES {
        let mut original = whole.clone();
        damage(&mut original);
        let size = original.len() as u64 + (5 << 20);
        let (gpt, copy) = grown(&lab, &original, size, true);
        match (&gpt, why) {
            (Gpt::Fits, None) => {}
            (Gpt::Damaged(text), Some(why)) => assert!(text.contains(why), "{name}: {text}"),
            _ => panic!("{name}: {gpt:?}"),
        }
        assert_untouched(&original, &copy, name);
    }
    // Too short for a whole table.
    for length in [0, 1, 511, 512, 1024, 3000] {
        let original = &whole[..length];
        let (gpt, copy) = grown(&lab, original, 1 << 20, true);
        assert_ne!(gpt, Gpt::Moved, "{length}");
        assert_untouched(original, &copy, &format!("{length} bytes"));
    }
}

/// The old backup of a disk whose table was damaged is not ours to clear, either.
#[test]
fn what_is_no_backup_any_more_stays() {
    let lab = Lab::new();
    let mut original = disk(512, 4096);
    let last = original.len() - 512;
    original[last..last + 8].copy_from_slice(b"somebody");
    let size = original.len() + (1 << 20);
    let (gpt, copy) = grown(&lab, &original, size as u64, true);
    assert_eq!(gpt, Gpt::Moved);
    table(&copy, 512);
    assert!(copy[last - 128 * 128..last + 512] == original[last - 128 * 128..]);
    judged(&lab.path("target.raw"));
}

#[test]
fn whoever_wants_it_as_it_is_gets_it() {
    let lab = Lab::new();
    let original = disk(512, 4096);
    let size = original.len() as u64 + (4 << 20);
    let (gpt, copy) = grown(&lab, &original, size, false);
    assert_eq!(gpt, Gpt::Fits);
    assert_untouched(&original, &copy, "as it is");
    // The same by the program.
    let (source, target) = (lab.path("source.raw"), lab.path("made.raw"));
    let size = size.to_string();
    let said = run(&source, &target, &["--size", &size, "--no-fix-gpt"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(fs::read(&target).unwrap() == copy);
    let said = run(&source, &target, &["--size", &size]);
    assert_eq!(said.code, Some(8), "{said:?}");
    let said = run(&source, &target, &["--size", &size, "--force"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    table(&fs::read(&target).unwrap(), 512);
    // Damage is told.
    let mut damaged = original;
    flip(&mut damaged, 512 + 50);
    fs::write(&source, damaged).unwrap();
    let said = run(&source, &target, &["--size", &size, "--force"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("left alone"), "{said:?}");
}
