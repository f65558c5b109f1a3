//! A descriptor that makes one disk of several files: VMware's "Virtual Disk Format 5.0", "The
//! Disk Descriptor File", as QEMU reads it.

use crate::error::{Error, Kind, Result};

/// Describes a disk of these files, one after the other: the path of each from the directory of
/// the descriptor, and its bytes.
///
/// ```
/// let text = distro_fetch::fsimg::vmdk::descriptor(&[("a.img", 1 << 20), ("b.img", 4096)])?;
/// assert!(text.contains("\nRW 2048 FLAT \"a.img\" 0\nRW 8 FLAT \"b.img\" 0\n"));
/// # Ok::<(), distro_fetch::Error>(())
/// ```
///
/// # Errors
/// [`Kind::Format`] for a path that a descriptor cannot say or that leads elsewhere, and for a size
/// that is not one of whole sectors.
pub fn descriptor(files: &[(&str, u64)]) -> Result<String> {
    let mut extents = String::new();
    let mut total = 0_u64;
    for (name, bytes) in files {
        check(name, *bytes)?;
        let sectors = bytes / SECTOR;
        let mut at = 0;
        while at < sectors {
            let here = (sectors - at).min(EXTENT);
            extents.push_str(&format!("RW {here} FLAT \"{name}\" {at}\n"));
            at += here;
        }
        total += sectors;
    }
    if extents.is_empty() {
        return Err(Error::new(Kind::Format, "a disk without any sector"));
    }
    // Any number will do that is not that of "no parent"; one that changes with the extents tells
    // descriptors apart.
    let id = extents.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    }) & 0x7fff_ffff;
    let cylinders = total.div_ceil(HEADS * SECTORS).min(CYLINDERS);
    Ok(format!(
        "# Disk DescriptorFile\n\
         version=1\n\
         CID={id:08x}\n\
         parentCID=ffffffff\n\
         createType=\"twoGbMaxExtentFlat\"\n\
         \n\
         # Extent description\n\
         {extents}\
         \n\
         # The Disk Data Base\n\
         #DDB\n\
         \n\
         ddb.virtualHWVersion = \"4\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"{HEADS}\"\n\
         ddb.geometry.sectors = \"{SECTORS}\"\n\
         ddb.adapterType = \"ide\"\n"
    ))
}

fn check(name: &str, bytes: u64) -> Result<()> {
    let odd = |c: char| c.is_control() || c == '"' || c == '\\';
    let why = if name.is_empty() || name.contains(odd) {
        "no descriptor can say such a name"
    } else if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        "a descriptor names what is beside it, or below"
    } else if name.contains(':') {
        "readers take what is before a colon for a protocol"
    } else if !bytes.is_multiple_of(SECTOR) {
        "it does not end where a sector does"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Format, format!("{name:?}: {why}")))
}

/// Bytes.
const SECTOR: u64 = 512;

/// Sectors of one extent: 2 GiB.
const EXTENT: u64 = 4 << 20;

/// What readers make of the size, if they ask for it in this way.
const HEADS: u64 = 16;
const SECTORS: u64 = 63;

/// More cannot be said.
const CYLINDERS: u64 = 0xffff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_split() {
        let bytes = (5 << 30) + 512;
        let text = descriptor(&[("dir/one.erofs", bytes), ("two.erofs", 4096)]).unwrap();
        let extents: Vec<_> = text.lines().filter(|it| it.starts_with("RW ")).collect();
        let expect = [
            "RW 4194304 FLAT \"dir/one.erofs\" 0",
            "RW 4194304 FLAT \"dir/one.erofs\" 4194304",
            "RW 2097153 FLAT \"dir/one.erofs\" 8388608",
            "RW 8 FLAT \"two.erofs\" 0",
        ];
        assert_eq!(extents, expect);
    }

    #[test]
    fn names_are_judged() {
        for bad in [
            "", "a\"b", "a\nb", "/a", "../a", "a/../b", "nbd:host", "a\\b", "a\0",
        ] {
            assert!(descriptor(&[(bad, 512)]).is_err(), "{bad:?}");
        }
        assert!(descriptor(&[("a", 511)]).is_err());
        assert!(descriptor(&[]).is_err());
        assert!(descriptor(&[("a b.erofs", 512)]).is_ok());
    }
}
