//! What a file is called as the root of an image.

use crate::archive::Format;
use crate::base::DiskFormat;
use crate::catalog::{Image, Kind};

/// The name under which a publisher takes a file for what it is, by the kind that the catalog says
/// and the first bytes, [`Format::MAGIC`] of them; or why Incus would not take it.
pub(super) fn root_name(image: &Image, start: &[u8]) -> Result<&'static str, String> {
    match image.kind {
        Kind::Disk if start.starts_with(QCOW2) => Ok("disk.qcow2"),
        Kind::Disk => {
            let format = image.format.map_or("no qcow2", DiskFormat::as_str);
            Err(format!("a disk that is {format}; Incus boots qcow2"))
        }
        Kind::Rootfs if start.starts_with(SQUASHFS) => Ok("rootfs.squashfs"),
        Kind::Rootfs => match Format::of_magic(start) {
            Some(Format::Xz) => Ok("rootfs.tar.xz"),
            Some(Format::Gzip) => Ok("rootfs.tar.gz"),
            Some(Format::Zstd) => Ok("rootfs.tar.zst"),
            Some(Format::Bzip2) => Ok("rootfs.tar.bz2"),
            Some(Format::Plain) => Err("a tar that is not compressed".to_owned()),
            None => Err("its first bytes are not those of a compressed tar".to_owned()),
        },
        Kind::Oci => Err("a container image".to_owned()),
    }
}

/// QEMU's qcow2 specification, "Header".
const QCOW2: &[u8] = b"QFI\xfb";

/// `SQUASHFS_MAGIC`, little endian.
const SQUASHFS: &[u8] = b"hsqs";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Rules};

    #[test]
    fn a_file_is_what_its_kind_and_its_first_bytes_say() {
        let image = |kind: &str| {
            let text = format!(
                r#"{{"schema": 1, "origins": {{}}, "images": {{"demo-1": {{
                    "distro": "demo", "version": "1", "kind": "{kind}", "arches": ["amd64"],
                    "pins": {{}}
                }}}}}}"#
            );
            Catalog::parse(&text, Rules::Overlay).unwrap().images[0].clone()
        };
        for (kind, start, expect) in [
            ("rootfs", &b"\xfd7zXZ\0...."[..], "rootfs.tar.xz"),
            ("rootfs", b"\x1f\x8b\x08....", "rootfs.tar.gz"),
            ("rootfs", b"\x28\xb5\x2f\xfd..", "rootfs.tar.zst"),
            ("rootfs", b"BZh91AY&SY", "rootfs.tar.bz2"),
            ("rootfs", b"hsqs....", "rootfs.squashfs"),
            ("rootfs", b"PK\x03\x04", "! its first bytes"),
            ("rootfs", b"", "! its first bytes"),
            ("rootfs", b"QFI\xfb", "! its first bytes"),
            ("disk", b"QFI\xfb....", "disk.qcow2"),
            ("disk", b"\xfd7zXZ\0....", "! a disk that is no qcow2"),
            ("oci", b"{}", "! a container image"),
        ] {
            let got = root_name(&image(kind), start);
            let got = got.map_or_else(|why| format!("! {why}"), str::to_owned);
            assert!(got.starts_with(expect), "{kind} {start:?}: {got}");
        }
    }
}
