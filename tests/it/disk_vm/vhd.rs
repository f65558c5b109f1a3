//! VHD by hand.

use distro_fetch::disk::DiskFormat;

use super::{assert_refused, decode, put};
use crate::harness::{Lab, noise};

/// A footer: of a fixed disk, or with the place of a header.
fn footer(kind: u8, header: u64, size: u64, creator: [u8; 4], geometry: (u16, u8, u8)) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    put(&mut bytes, 0, b"conectix");
    bytes[11] = 2;
    bytes[13] = 1;
    put(&mut bytes, 16, &header.to_be_bytes());
    put(&mut bytes, 28, &creator);
    put(&mut bytes, 40, &size.to_be_bytes());
    put(&mut bytes, 48, &size.to_be_bytes());
    put(&mut bytes, 56, &geometry.0.to_be_bytes());
    bytes[58] = geometry.1;
    bytes[59] = geometry.2;
    bytes[63] = kind;
    sum(&mut bytes, 64);
    bytes
}

/// Makes a checksum right.
pub(super) fn sum(bytes: &mut [u8], at: usize) {
    put(bytes, at, &[0; 4]);
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    put(bytes, at, &(!sum).to_be_bytes());
}

fn fixed(content: &[u8], creator: [u8; 4], geometry: (u16, u8, u8)) -> Vec<u8> {
    let size = content.len() as u64;
    [content, &footer(2, u64::MAX, size, creator, geometry)].concat()
}

/// Blocks of 4 KiB: the footer's copy, the header at 512, the table at 1536, blocks from 2048 on.
/// Each block has a byte of bits for its eight sectors.
fn dynamic(sectors: u64, blocks: &[(usize, u8, &[u8])]) -> Vec<u8> {
    let entries = usize::try_from(sectors).unwrap().div_ceil(8);
    let footer = footer(3, 512, sectors * 512, *b"win ", (0, 0, 0));
    let mut header = vec![0; 1024];
    put(&mut header, 0, b"cxsparse\xff\xff\xff\xff\xff\xff\xff\xff");
    put(&mut header, 16, &1536_u64.to_be_bytes());
    header[25] = 1;
    put(
        &mut header,
        28,
        &u32::try_from(entries).unwrap().to_be_bytes(),
    );
    put(&mut header, 32, &4096_u32.to_be_bytes());
    sum(&mut header, 36);
    let mut file = [&footer[..], &header, &[0xff; 512]].concat();
    for (index, bits, content) in blocks {
        let at = u32::try_from(file.len() / 512).unwrap();
        put(&mut file, 1536 + index * 4, &at.to_be_bytes());
        file.push(*bits);
        file.resize(file.len() + 511, 0);
        file.extend(*content);
    }
    file.extend(footer);
    file
}

pub(super) fn sample() -> (Vec<u8>, Vec<u8>) {
    let (one, mut two) = (noise(4096), noise(4096));
    two[512..1536].fill(0);
    // The second block is cut off by the end of the disk.
    let image = dynamic(27, &[(3, 0b1001_1111, &two), (1, 0xff, &one)]);
    let disk = [&[0; 4096][..], &one, &[0; 4096], &two[..3 * 512]].concat();
    (image, disk)
}

#[test]
fn fixed_and_dynamic() {
    let lab = Lab::new();
    let content = noise(40 * 512);
    let image = fixed(&content, *b"win ", (1, 1, 1));
    assert_eq!(decode(&lab, &image, DiskFormat::Vhd).unwrap(), content);
    // What the disk begins with is its own affair.
    let mut like = content.clone();
    put(&mut like, 0, b"QFI\xfb");
    let image = fixed(&like, *b"win ", (1, 1, 1));
    assert_eq!(decode(&lab, &image, DiskFormat::Vhd).unwrap(), like);
    let (image, disk) = sample();
    assert_eq!(decode(&lab, &image, DiskFormat::Vhd).unwrap(), disk);
}

/// Which of the two sizes counts, as QEMU 10 has it.
#[test]
fn the_size_of_old_disks_is_their_geometry() {
    let lab = Lab::new();
    let content = noise(40 * 512);
    for (creator, sectors) in [
        (b"vpc ", 36),
        (b"qemu", 36),
        (b"qem2", 40),
        (b"win ", 40),
        (b"vbox", 40),
        (b"vs  ", 40),
        (b"d2v ", 40),
        (b"wa\0\0", 40),
    ] {
        let image = fixed(&content, *creator, (3, 4, 3));
        let disk = decode(&lab, &image, DiskFormat::Vhd).unwrap();
        assert_eq!(disk, content[..sectors * 512], "{creator:?}");
    }
    let image = fixed(&content, *b"qemu", (0xffff, 16, 255));
    assert_eq!(decode(&lab, &image, DiskFormat::Vhd).unwrap(), content);
    let image = fixed(&content, *b"qemu", (41, 1, 1));
    assert_refused(decode(&lab, &image, DiskFormat::Vhd), "by its geometry");
}

#[test]
fn a_bitmap_must_be_right() {
    let lab = Lab::new();
    let mut image = dynamic(8, &[(0, 0b0111_1111, &[7; 4096])]);
    let why = "nothing was written at 0, and something is there";
    assert_refused(decode(&lab, &image, DiskFormat::Vhd), why);
    image[2560..3072].fill(0);
    let disk = decode(&lab, &image, DiskFormat::Vhd).unwrap();
    assert_eq!(disk, [&[0; 512][..], &[7; 4096 - 512]].concat());
}

#[test]
fn disks_that_lie() {
    let lab = Lab::new();
    let check = |at: usize, value: &[u8], why: &str| {
        let (mut image, _) = sample();
        put(&mut image, at, value);
        let end = image.len() - 512;
        if at < 512 {
            // The copy, and the sums, as they should be: only the value itself is wrong.
            sum(&mut image[..512], 64);
            image.copy_within(..512, end);
        } else if at < 1536 {
            sum(&mut image[512..1536], 36);
        }
        assert_refused(decode(&lab, &image, DiskFormat::Vhd), why);
    };
    for (at, value, why) in [
        (13, &[2][..], "version 0x20000"),
        (63, &[4], "a parent"),
        (63, &[2], "a fixed disk of"),
        (63, &[9], "of type 9"),
        (48, &[1], "by its footer"),
        (55, &[1], "by its footer"),
        (16, &[0xff; 8], "the header is outside"),
        (16, &[0; 8], "the header overlaps"),
        (22, &[4], "no header of a dynamic disk"),
        (512, b"x", "no header of a dynamic disk"),
        (512 + 25, &[2], "a header of version"),
        (512 + 31, &[3], "its table has 3 entries"),
        (512 + 28, &[0xff; 4], "the table is outside"),
        (512 + 23, &[1], "not aligned"),
        (512 + 22, &[0], "the table overlaps"),
        (512 + 16, &[0xff], "the table is outside"),
        (512 + 32, &[0, 0, 0, 0], "blocks of 0"),
        (512 + 32, &[0, 0, 0x11], "blocks of"),
        (512 + 32, &[0, 0, 2], "blocks of 512"),
        (512 + 32, &[0x80], "blocks of"),
        (1536, &[0, 0, 0, 0], "a block overlaps the copy"),
        (1536, &[0, 0, 0, 2], "a block overlaps the header"),
        (1536, &[0, 0, 0, 3], "a block overlaps"),
        (1536, &[0, 0, 0, 14], "a block overlaps the footer"),
        (1536, &[0, 0, 0xff, 0], "a block is outside"),
    ] {
        check(at, value, why);
    }
    let (image, _) = sample();
    let changed = |at: usize| {
        let mut image = image.clone();
        image[at] ^= 0x10;
        decode(&lab, &image, DiskFormat::Vhd)
    };
    assert_refused(changed(100), "differ");
    assert_refused(changed(image.len() - 100), "checksum of its footer");
    assert_refused(changed(600), "checksum of its header");
    let cut = &image[..image.len() - 1];
    assert_refused(decode(&lab, cut, DiskFormat::Vhd), "cut off");
    assert_refused(decode(&lab, &noise(900), DiskFormat::Vhd), "declared vhd");
    assert_refused(decode(&lab, b"x", DiskFormat::Vhd), "declared vhd");
    let mut long = fixed(&noise(512), *b"win ", (1, 1, 1));
    long.splice(0..0, [0; 512]);
    assert_refused(decode(&lab, &long, DiskFormat::Vhd), "in a file with 1024");
}
