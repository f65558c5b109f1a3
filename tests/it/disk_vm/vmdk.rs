//! VMDK by hand.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use distro_fetch::disk::{Disk, DiskFormat};

use super::{assert_refused, decode, put, read};
use crate::harness::{Lab, noise};

/// Bytes of a grain here.
pub(super) const GRAIN: usize = 4096;

/// How a sparse file is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Sparse,
    /// Compressed, with the tables in front.
    Stream,
    /// The same with the tables at the end, as it is written in one go.
    StreamAtEnd,
}

/// A sparse file of a disk of so many grains and `more` sectors, with content in some grains.
pub(super) fn sparse(kind: Kind, sectors: usize, grains: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let is_stream = kind != Kind::Sparse;
    let at_end = kind == Kind::StreamAtEnd;
    let name = if is_stream {
        "streamOptimized"
    } else {
        "monolithicSparse"
    };
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"{name}\"\n\
         RW {sectors} SPARSE \"x.vmdk\"\n"
    );
    let tables = sectors.div_ceil(8 * 512);
    let data = if at_end { 8 } else { 8 + 4 * tables };
    let mut file = vec![0; data * 512];
    let mut entries = vec![0_u32; tables * 512];
    for (index, content) in grains {
        entries[*index] = u32::try_from(file.len() / 512).unwrap();
        if is_stream {
            let packed = zlib(content);
            file.extend((*index as u64 * 8).to_le_bytes());
            file.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            file.extend(packed);
        } else {
            file.extend(content);
        }
        file.resize(file.len().next_multiple_of(512), 0);
    }
    let first = if at_end { file.len() } else { 8 * 512 };
    if at_end {
        file.resize(file.len() + tables * 2048, 0);
    }
    let mut directory = Vec::new();
    for (index, table) in entries.chunks(512).enumerate() {
        if table.iter().all(|entry| *entry == 0) {
            directory.extend([0; 4]);
            continue;
        }
        let at = first + index * 2048;
        directory.extend(u32::try_from(at / 512).unwrap().to_le_bytes());
        let bytes: Vec<u8> = table.iter().flat_map(|it| it.to_le_bytes()).collect();
        put(&mut file, at, &bytes);
    }
    let mut header = vec![0; 512];
    put(&mut header, 0, b"KDMV");
    header[4] = if is_stream { 3 } else { 1 };
    header[8] = 1;
    put(&mut header, 12, &(sectors as u64).to_le_bytes());
    header[20] = 8;
    header[28] = 1;
    header[36] = 2;
    put(&mut header, 44, &512_u32.to_le_bytes());
    put(&mut header, 64, &(data as u64).to_le_bytes());
    put(&mut header, 73, b"\n \r\n");
    if is_stream {
        header[10] = 3;
        header[77] = 1;
    }
    let place = if at_end {
        let at = file.len();
        file.extend(&directory);
        file.resize(file.len().next_multiple_of(512), 0);
        let mut marker = vec![0; 512];
        marker[0] = 1;
        marker[12] = 3;
        file.extend(marker);
        let mut footer = header.clone();
        put(&mut footer, 56, &(at as u64 / 512).to_le_bytes());
        file.extend(footer);
        file.extend([0; 512]);
        u64::MAX
    } else {
        put(&mut file, 3 * 512, &directory);
        3
    };
    put(&mut header, 56, &place.to_le_bytes());
    put(&mut file, 0, &header);
    put(&mut file, 512, descriptor.as_bytes());
    file
}

fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Three grains of which the last is cut off by the end of the disk, and the disk.
pub(super) fn sample(kind: Kind) -> (Vec<u8>, Vec<u8>) {
    let sectors = 520 * 8 + 3;
    let mut disk = vec![0; sectors * 512];
    let mut grains = Vec::new();
    for index in [1, 2, 519, 520] {
        let mut grain = noise(GRAIN);
        grain[0] = u8::try_from(index % 256).unwrap();
        grain[2000..3000].fill(7);
        let length = GRAIN.min(disk.len() - index * GRAIN);
        put(&mut disk, index * GRAIN, &grain[..length]);
        grains.push((index, grain));
    }
    (sparse(kind, sectors, &grains), disk)
}

const KINDS: [Kind; 3] = [Kind::Sparse, Kind::Stream, Kind::StreamAtEnd];

#[test]
fn sparse_files_and_streams() {
    let lab = Lab::new();
    for kind in KINDS {
        let (image, disk) = sample(kind);
        let found = decode(&lab, &image, DiskFormat::Vmdk).unwrap();
        assert!(found == disk, "{kind:?}");
    }
    // A last grain that ends with the disk, and one that ends before or after it.
    for (length, is_good) in [(512, true), (4096, true), (1024, false), (511, false)] {
        let image = sparse(Kind::Stream, 9, &[(1, vec![5; length])]);
        match decode(&lab, &image, DiskFormat::Vmdk) {
            Ok(found) => assert!(is_good && found[4096..] == [5; 512]),
            error => {
                assert!(!is_good);
                assert_refused(error, "a compressed cluster has");
            }
        }
    }
    let short = sparse(Kind::Stream, 16, &[(0, vec![5; 512])]);
    assert_refused(decode(&lab, &short, DiskFormat::Vmdk), "instead of 4096");
}

#[test]
fn a_grain_of_zeros_needs_its_flag() {
    let lab = Lab::new();
    let mut image = sparse(
        Kind::Sparse,
        16,
        &[(0, vec![5; GRAIN]), (1, vec![6; GRAIN])],
    );
    put(&mut image, 8 * 512 + 4, &1_u32.to_le_bytes());
    assert_refused(
        decode(&lab, &image, DiskFormat::Vmdk),
        "overlaps the metadata",
    );
    image[8] |= 4;
    let found = decode(&lab, &image, DiskFormat::Vmdk).unwrap();
    assert_eq!(found, [[5; GRAIN], [0; GRAIN]].concat());
}

/// Panics unless the sample, changed, is refused.
fn check(kind: Kind, change: impl FnOnce(&mut Vec<u8>), why: &str) {
    let (mut image, _) = sample(kind);
    change(&mut image);
    let found = decode(&Lab::new(), &image, DiskFormat::Vmdk);
    assert_refused(found, why);
}

/// Other bytes at a place.
fn bytes(at: usize, bytes: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |image| put(image, at, bytes)
}

/// Another word in the descriptor.
fn text(from: &str, to: &str) -> impl FnOnce(&mut Vec<u8>) {
    move |image| {
        let text = String::from_utf8(image[512..1536].to_vec()).unwrap();
        let mut text = text.replace(from, to).into_bytes();
        text.resize(1024, 0);
        put(image, 512, &text);
    }
}

#[test]
fn headers_that_lie() {
    for kind in KINDS {
        for (at, value, why) in [
            (4, &[0][..], "VMDK version 0"),
            (4, &[4], "VMDK version 4"),
            (8, &[9], "not known here: 0x8"),
            (10, &[1], "compression of type"),
            (12, &[0; 8], "a disk of 0 sectors"),
            (12, &[0xff; 8], "a disk of 18446744073709551615 sectors"),
            (12, &[1, 0, 0, 0], "header"),
            (20, &[9], "grains of 9 sectors"),
            (20, &[4], "grains of 4 sectors"),
            (20, &[0, 0, 0, 1], "grains of"),
            (28, &[0], "no descriptor"),
            (28, &[0xff; 8], "at sector"),
            (28, &[0xff; 5], "the descriptor is outside"),
            (36, &[0], "no descriptor"),
            (44, &[1], "tables of 513 entries"),
            (72, &[1], "was not closed"),
            (73, b"\r\n", "line ends"),
            (77, &[2], "compression of type 2"),
        ] {
            check(kind, bytes(at, value), why);
        }
        check(kind, text("=ffffffff", "=12345678"), "a parent");
        check(
            kind,
            text("CID=1", "parentFileNameHint=\"/etc/passwd\""),
            "a parent",
        );
        check(
            kind,
            text("createType=\"", "createType=\"x"),
            "with a descriptor of kind",
        );
        check(
            kind,
            text("RW 4163", "RW 4164"),
            "not the disk of its header",
        );
        check(kind, text("SPARSE", "FLAT"), "makes no sense");
        check(kind, |image| image.truncate(100), "cut off");
    }
}

#[test]
fn tables_that_lie() {
    for (at, value, why) in [
        (56, &[0][..], "the grain directory overlaps"),
        (56, &[1], "the grain directory overlaps the descriptor"),
        (56, &[0xff, 0xff, 0xff], "the grain directory is outside"),
        (3 * 512, &[1], "a grain table overlaps the descriptor"),
        (3 * 512, &[12], "two grain tables"),
        (3 * 512, &[10], "two grain tables"),
        (3 * 512, &[0xff, 0xff], "a grain table is outside"),
        (8 * 512, &[9], "overlaps the metadata"),
        (8 * 512, &[0xff, 0xff], "a grain is outside"),
    ] {
        check(Kind::Sparse, bytes(at, value), why);
        check(Kind::Stream, bytes(at, value), why);
    }
    check(
        Kind::Sparse,
        |image| image.truncate(image.len() - 4096),
        "a grain is outside",
    );
    check(
        Kind::Stream,
        bytes(16 * 512, &[1]),
        "says that it is sector",
    );
    check(
        Kind::Stream,
        bytes(16 * 512 + 8, &[0, 0]),
        "a compressed grain of 0 bytes",
    );
    check(
        Kind::Stream,
        bytes(16 * 512 + 10, &[1]),
        "a compressed grain of",
    );
    check(
        Kind::Stream,
        bytes(16 * 512 + 40, b"?"),
        "a compressed cluster",
    );
    let end = "does not end with a footer";
    check(
        Kind::StreamAtEnd,
        |image| image.truncate(image.len() - 512),
        end,
    );
    check(
        Kind::StreamAtEnd,
        |image| *image.last_mut().unwrap() = 1,
        end,
    );
    check(
        Kind::StreamAtEnd,
        |image| {
            let at = image.len() - 1024;
            image[at + 12] ^= 1;
        },
        "its header and its footer differ",
    );
}

const KEYS: &str = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n";

#[test]
fn flat_extents_beside_their_descriptor() {
    let lab = Lab::new();
    let one = noise(4 * 512);
    fs::write(lab.path("a.bin"), &one).unwrap();
    fs::write(lab.path("b b"), [9; 512]).unwrap();
    let path = lab.path("d.vmdk");
    let with = |kind: &str, extents: &str| {
        fs::write(&path, format!("{KEYS}createType=\"{kind}\"\n{extents}")).unwrap();
        read(&lab, &path, DiskFormat::Vmdk)
    };
    let split = "twoGbMaxExtentFlat";
    let found = with("monolithicFlat", "RW 3 FLAT \"a.bin\" 1\n").unwrap();
    assert_eq!(found, one[512..]);
    let extents = "RW 1 ZERO\nRW 2 FLAT \"a.bin\" 2\nRW 1 FLAT \"b b\" 0\nRW 1 FLAT \"a.bin\" 0\n\
                   RW 2 ZERO\n";
    let found = with(split, extents).unwrap();
    let zeros = [0; 512];
    let expect = [&zeros[..], &one[1024..], &[9; 512], &one[..512], &[0; 1024]].concat();
    assert_eq!(found, expect);
    assert_eq!(with(split, "RW 5 ZERO\n").unwrap(), [0; 5 * 512]);

    fs::create_dir(lab.path("sub")).unwrap();
    fs::write(lab.path("sub/c"), [1; 512]).unwrap();
    symlink("/etc/passwd", lab.path("link")).unwrap();
    symlink(lab.path("a.bin"), lab.path("near")).unwrap();
    for (extents, why) in [
        ("RW 1 FLAT \"/etc/passwd\" 0", "not a plain name"),
        ("RW 1 FLAT \"../a.bin\" 0", "not a plain name"),
        ("RW 1 FLAT \"sub/c\" 0", "not a plain name"),
        ("RW 1 FLAT \"sub\" 0", "not a regular file"),
        ("RW 1 FLAT \"..\" 0", "not a plain name"),
        ("RW 1 FLAT \"link\" 0", "not a regular file"),
        ("RW 1 FLAT \"near\" 0", "not a regular file"),
        ("RW 1 FLAT \"none\" 0", "is not there"),
        ("RW 5 FLAT \"a.bin\" 0", "is cut off"),
        ("RW 1 FLAT \"a.bin\" 4", "is cut off"),
        ("RW 1 FLAT \"a.bin\" 36028797018963968", "is cut off"),
        (
            "RW 2 FLAT \"a.bin\" 0\nRW 1 FLAT \"a.bin\" 1",
            "the same part",
        ),
        ("RW 1 SPARSE \"a.bin\"", "not supported"),
        ("", "0 extents"),
    ] {
        assert_refused(with(split, extents), why);
    }
    assert_refused(with("monolithicFlat", "RW 1 ZERO\nRW 1 ZERO"), "2 extents");
    for kind in ["fullDevice", "vmfs", "twoGbMaxExtentSparse", "custom"] {
        assert_refused(with(kind, "RW 1 FLAT \"a.bin\" 0"), "a descriptor of kind");
    }
    // A file that is open has no folder.
    with(split, "RW 1 FLAT \"a.bin\" 0").unwrap();
    let file = fs::File::open(&path).unwrap();
    let error = Disk::from_file(file, DiskFormat::Vmdk).unwrap_err();
    assert!(error.message().contains("only a descriptor"), "{error}");
    let file = fs::File::open(&path).unwrap();
    Disk::from_file_in(file, DiskFormat::Vmdk, path.parent().unwrap()).unwrap();
}

#[test]
fn the_command_looks_beside_the_descriptor_only() {
    let lab = Lab::new();
    fs::write(lab.path("a.bin"), noise(1024)).unwrap();
    let image = lab.path("d.vmdk");
    let target = lab.path("d.raw");
    let run = |name: &str| {
        let extent = format!("RW 2 FLAT \"{name}\" 0\n");
        fs::write(
            &image,
            format!("{KEYS}createType=\"monolithicFlat\"\n{extent}"),
        )
        .unwrap();
        let (image, target) = (image.to_str().unwrap(), target.to_str().unwrap());
        lab.run(&["convert", image, "-o", target])
    };
    let said = run("/etc/passwd");
    assert_eq!(said.code, Some(9), "{said:?}");
    assert!(said.stderr.contains("it is not opened"), "{said:?}");
    assert!(!target.exists());
    assert_eq!(run("a.bin").code, Some(0));
    assert_eq!(fs::read(&target).unwrap(), noise(1024));
}
