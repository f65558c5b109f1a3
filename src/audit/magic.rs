//! What the first bytes of a file say.

/// What is wrong with the first bytes of a file of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Magic {
    /// They are those of its format.
    Right,
    /// The name does not tell a format that could be recognised.
    Unknown,
    /// They are a page for people.
    Page,
    /// They are not those of this format.
    Wrong(&'static str),
}

/// Judges the first bytes of a file by its name.
pub(super) fn judge(name: &str, first: &[u8]) -> Magic {
    if is_markup(first) {
        return Magic::Page;
    }
    let name = name.to_ascii_lowercase();
    let Some((_, what, starts)) = FORMATS
        .iter()
        .find(|(endings, ..)| endings.iter().any(|ending| name.ends_with(ending)))
    else {
        return Magic::Unknown;
    };
    if starts.iter().any(|start| first.starts_with(start)) {
        Magic::Right
    } else {
        Magic::Wrong(what)
    }
}

/// No image starts like a document of the web.
fn is_markup(first: &[u8]) -> bool {
    let text = first.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    MARKUP.iter().any(|start| {
        text.get(..start.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(start))
    })
}

const MARKUP: [&[u8]; 3] = [b"<!doctype", b"<html", b"<?xml"];

/// Endings, what people call it, and how it may start.
type Format = (
    &'static [&'static str],
    &'static str,
    &'static [&'static [u8]],
);

/// Formats whose name says how they start. `.img` and `.wsl` may be anything.
const FORMATS: &[Format] = &[
    // The .xz file format, section 2.1.1.1.
    (&[".xz", ".txz"], "xz", &[b"\xfd7zXZ\0"]),
    // RFC 1952, section 2.3.1.
    (&[".gz", ".tgz"], "gzip", &[b"\x1f\x8b"]),
    // RFC 8878, section 3.1; pzstd puts a skippable frame first.
    (
        &[".zst", ".tzst"],
        "zstd",
        &[b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"],
    ),
    (&[".bz2", ".tbz2"], "bzip2", &[b"BZh"]),
    (&[".zip"], "zip", &[b"PK\x03\x04"]),
    // QEMU's docs/interop/qcow2.txt.
    (&[".qcow2"], "qcow2", &[b"QFI\xfb"]),
    (&[".squashfs"], "squashfs", &[b"hsqs"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes() {
        for (name, first, expect) in [
            ("rootfs.tar.xz", &b"\xfd7zXZ\0\0"[..], Magic::Right),
            ("ROOTFS.TAR.XZ", b"\xfd7zXZ\0\0", Magic::Right),
            ("rootfs.tar.xz", b"\x1f\x8b\x08", Magic::Wrong("xz")),
            ("rootfs.tar.xz", b"\xfd7", Magic::Wrong("xz")),
            ("base.tar.zst", b"\x28\xb5\x2f\xfd\0", Magic::Right),
            ("disk.qcow2", b"QFI\xfb\0\0\0\x03", Magic::Right),
            ("disk.qcow2", b"\0\0\0\0", Magic::Wrong("qcow2")),
            ("a.tar.gz", b"\x1f\x8b\x08", Magic::Right),
            ("a.tar.bz2", b"BZh9", Magic::Right),
            ("disk.img", b"\0\0\0\0", Magic::Unknown),
            ("disk.img", b"", Magic::Unknown),
            ("disk.img", b"\r\n<!DOCTYPE HTML>", Magic::Page),
            ("rootfs.tar.xz", b"\xef\xbb\xbf<HTML>", Magic::Page),
            (
                "rootfs.tar.xz",
                b"<?xml version=\"1.0\"?><Error>",
                Magic::Page,
            ),
        ] {
            assert_eq!(judge(name, first), expect, "{name} {first:?}");
        }
    }
}
