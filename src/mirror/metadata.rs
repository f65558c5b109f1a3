//! The tarball that makes a file an image of Incus.

use serde_json::Value;

use super::version::Version;
use crate::archive::{Entry, Kind, Packer, Time, pack_xz};
use crate::catalog::{Image, Pin};
use crate::error::Result;

/// `incus.tar.xz`: one file, `metadata.yaml`. Its bytes depend on the pin alone, for Incus makes the
/// fingerprint of an image of them.
///
/// <https://linuxcontainers.org/incus/docs/main/reference/image_format/>
pub(super) fn tarball(version: &Version, image: &Image, pin: &Pin) -> Result<Vec<u8>> {
    let text = yaml(version, image, pin);
    let entry = Entry {
        path: b"metadata.yaml".to_vec(),
        kind: Kind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Time {
            seconds: version.time().0,
            nanos: 0,
        },
        size: text.len() as u64,
        xattrs: std::collections::BTreeMap::new(),
        extents: None,
    };
    let mut packer = Packer::new(Vec::new());
    packer.add(&entry)?;
    packer.write(text.as_bytes())?;
    pack_xz(&packer.finish()?)
}

/// Every text is quoted as JSON has it, which is YAML, too (YAML 1.2, section 1.3): no text of a
/// catalog is anything but a text.
fn yaml(version: &Version, image: &Image, pin: &Pin) -> String {
    let Version {
        os,
        release,
        arch,
        variant,
        serial,
        ..
    } = version;
    let title = image.title.as_deref();
    let name = title.map_or_else(|| format!("{} {release}", capital(os)), str::to_owned);
    let mut text = format!(
        "architecture: {arch}\ncreation_date: {}\nproperties:\n",
        version.time().0,
        arch = quoted(arch.uname()),
    );
    let mut property = |key: &str, value: &str| {
        text.push_str(&format!("  {key}: {}\n", quoted(value)));
    };
    property("architecture", arch.uname());
    property("description", &format!("{name} {arch} ({serial})"));
    property(
        "name",
        &format!("{}-{arch}-{}", image.name, pin.snapshot.stamp()),
    );
    property("os", &capital(os));
    property("release", release);
    if let Some(codename) = &image.codename {
        property("release_codename", codename);
    }
    property("serial", &serial.to_string());
    property("variant", variant);
    text
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// As images.linuxcontainers.org writes its systems: `Alpine`, `Rockylinux`.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::archive::{Checks, Decoder, Format, Limits, Reader};
    use crate::base::Digest;
    use crate::catalog::{Catalog, Rules};
    use crate::mirror::serial::Serial;

    /// The bytes are part of every fingerprint that Incus knows: another digest is another image.
    #[test]
    fn one_pin_has_one_tarball() {
        let text = format!(
            r#"{{"schema": 1, "origins": {{}}, "images": {{"demo-1-x": {{
                "distro": "demo", "version": "1", "variant": "x", "kind": "rootfs",
                "title": "A \"title\": #1", "codename": "né", "arches": ["arm64"],
                "pins": {{"arm64": {{"snapshot": "1.2", "url": "https://h/1.2/x.tar.gz",
                    "bumped_at": "2026-01-29", "sha256": "{}", "size": 1 }}}}
            }}}}}}"#,
            "ab".repeat(32)
        );
        let catalog = Catalog::parse(&text, Rules::Overlay).unwrap();
        let (image, pin) = (&catalog.images[0], &catalog.images[0].pins[0]);
        let version = Version::of_pin(image, pin, Serial::of(pin).unwrap()).unwrap();
        assert_eq!(
            version.folder.as_str(),
            "images/demo/1/arm64/x/20260129_00:00"
        );
        let packed = tarball(&version, image, pin).unwrap();
        let limits = Limits::default();
        let decoder = Decoder::new(&packed[..], Format::Xz, &limits, Checks::Verify).unwrap();
        let mut reader = Reader::new(decoder, limits);
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!(entry.path, b"metadata.yaml");
        assert_eq!(entry.mtime.seconds, 1_769_644_800);
        assert_eq!(
            yaml(&version, image, pin),
            "architecture: \"aarch64\"\n\
             creation_date: 1769644800\n\
             properties:\n\
             \x20 architecture: \"aarch64\"\n\
             \x20 description: \"A \\\"title\\\": #1 arm64 (20260129_00:00)\"\n\
             \x20 name: \"demo-1-x-arm64-1.2\"\n\
             \x20 os: \"Demo\"\n\
             \x20 release: \"1\"\n\
             \x20 release_codename: \"né\"\n\
             \x20 serial: \"20260129_00:00\"\n\
             \x20 variant: \"x\"\n"
        );
        let digest = Digest::from_bytes(Sha256::digest(&packed).into());
        assert_eq!(digest.short(), "5e770337f095");
    }
}
