//! Files of a version, and what they are in an index.

use super::name::is_serial;

/// What a file of a version is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The metadata of a split image, for Incus.
    Incus,
    /// The same for LXD.
    Lxd,
    /// Metadata and root in one.
    Unified,
    /// What a container or machine is made of.
    Root(Root),
    /// What makes a root of the one in another version.
    Delta(Root, String),
}

/// How a root comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Root {
    /// A tarball. Its compression is found by its first bytes, whatever ftype and key say.
    Tar,
    /// A squashfs.
    Squashfs,
    /// A disk of a virtual machine.
    Disk,
}

impl Role {
    /// What a file of this name is; `None` if an index does not care.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "incus.tar.xz" => Self::Incus,
            "lxd.tar.xz" => Self::Lxd,
            "incus_combined.tar.gz" => Self::Unified,
            "root.squashfs" | "rootfs.squashfs" => Self::Root(Root::Squashfs),
            "disk.qcow2" => Self::Root(Root::Disk),
            _ => {
                let tarball = name
                    .strip_prefix("rootfs")
                    .or_else(|| name.strip_prefix("root"))
                    .and_then(|rest| rest.strip_prefix(".tar."));
                if matches!(tarball, Some("xz" | "gz" | "zst" | "bz2")) {
                    Self::Root(Root::Tar)
                } else {
                    return delta(name);
                }
            }
        })
    }

    /// Its key among the items.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Incus => "incus.tar.xz".to_owned(),
            Self::Lxd => "lxd.tar.xz".to_owned(),
            Self::Unified => "incus_combined.tar.gz".to_owned(),
            Self::Root(root) => root.key().to_owned(),
            Self::Delta(Root::Disk, base) => format!("disk.{base}.qcow2.vcdiff"),
            Self::Delta(_, base) => format!("root.{base}.vcdiff"),
        }
    }

    /// Its `ftype`.
    pub(super) fn ftype(&self) -> String {
        match self {
            Self::Root(root) => root.ftype().to_owned(),
            Self::Delta(root, _) => format!("{}.vcdiff", root.ftype()),
            _ => self.key(),
        }
    }

    /// Whether it is the metadata of a split image.
    pub(super) fn is_metadata(&self) -> bool {
        matches!(self, Self::Incus | Self::Lxd)
    }
}

impl Root {
    fn key(self) -> &'static str {
        match self {
            Self::Tar => "root.tar.xz",
            Self::Squashfs => "root.squashfs",
            Self::Disk => "disk.qcow2",
        }
    }

    /// Incus passes over an item whose type is another one.
    fn ftype(self) -> &'static str {
        match self {
            Self::Tar => "root.tar.xz",
            Self::Squashfs => "squashfs",
            Self::Disk => "disk-kvm.img",
        }
    }

    /// The keys of the fingerprint on each metadata item.
    pub(super) fn fingerprints(self) -> &'static [&'static str] {
        match self {
            Self::Tar => &["combined_rootxz_sha256", "combined_sha256"],
            Self::Squashfs => &["combined_squashfs_sha256"],
            Self::Disk => &["combined_disk-kvm-img_sha256"],
        }
    }
}

/// `delta-20260127_13:00.vcdiff`, `delta-….qcow2.vcdiff`, `root.….vcdiff`, `disk.….qcow2.vcdiff`.
fn delta(name: &str) -> Option<Role> {
    let stem = name.strip_suffix(".vcdiff")?;
    let start = stem.find(|c: char| c.is_ascii_digit())?;
    let (prefix, rest) = stem.split_at(start);
    let (base, disk) = match rest.strip_suffix(".qcow2") {
        Some(base) => (base, true),
        None => (rest.strip_suffix(".squashfs").unwrap_or(rest), false),
    };
    let disk = disk || prefix.starts_with("disk");
    let known = ["delta-", "delta.", "root.", "rootfs.", "disk."].contains(&prefix);
    let root = if disk { Root::Disk } else { Root::Squashfs };
    (known && is_serial(base)).then(|| Role::Delta(root, base.to_owned()))
}

/// Why these files are no image, if they are none.
pub(super) fn judge(files: &[(&str, &Role)]) -> Option<String> {
    let has = |wanted: &dyn Fn(&Role) -> bool| files.iter().any(|(_, role)| wanted(role));
    let unified = has(&|role| *role == Role::Unified);
    let metadata = has(&Role::is_metadata);
    let root = has(&|role| matches!(role, Role::Root(_)));
    for (name, role) in files {
        let twin = files
            .iter()
            .find(|(other, it)| other < name && it.key() == role.key());
        if let Some((other, _)) = twin {
            return Some(format!(
                "{other} and {name} would be one item: remove one of them"
            ));
        }
    }
    let message = match (unified, metadata, root) {
        (true, false, false) | (false, true, true) => return None,
        (true, _, _) => {
            "a unified image beside a split one, and aliases would mean either: give it a variant \
             of its own"
        }
        (false, true, false) => "there is metadata, but no root file",
        (false, false, true) => "there is no metadata: incus.tar.xz, lxd.tar.xz",
        (false, false, false) => "there is no image in it",
    };
    Some(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        for (name, expect) in [
            ("incus.tar.xz", "incus.tar.xz incus.tar.xz"),
            ("lxd.tar.xz", "lxd.tar.xz lxd.tar.xz"),
            (
                "incus_combined.tar.gz",
                "incus_combined.tar.gz incus_combined.tar.gz",
            ),
            ("root.tar.xz", "root.tar.xz root.tar.xz"),
            ("rootfs.tar.zst", "root.tar.xz root.tar.xz"),
            ("rootfs.squashfs", "root.squashfs squashfs"),
            ("disk.qcow2", "disk.qcow2 disk-kvm.img"),
            (
                "delta-20260127_13:00.vcdiff",
                "root.20260127_13:00.vcdiff squashfs.vcdiff",
            ),
            (
                "root.20260127_13:00.vcdiff",
                "root.20260127_13:00.vcdiff squashfs.vcdiff",
            ),
            (
                "delta-20260127_13:00.qcow2.vcdiff",
                "disk.20260127_13:00.qcow2.vcdiff disk-kvm.img.vcdiff",
            ),
            (
                "disk.20170619.1.vcdiff",
                "disk.20170619.1.qcow2.vcdiff disk-kvm.img.vcdiff",
            ),
            ("delta-yesterday.vcdiff", ""),
            ("x20260127.vcdiff", ""),
            ("SHA256SUMS", ""),
            ("rootfs.tar", ""),
            ("rootfs.tar.xz.asc", ""),
            ("INCUS.TAR.XZ", ""),
        ] {
            let role = Role::of(name);
            let got = role.map_or_else(String::new, |it| format!("{} {}", it.key(), it.ftype()));
            assert_eq!(got, expect, "{name}");
        }
    }

    #[test]
    fn an_image_is_split_or_unified() {
        for (names, expect) in [
            ("incus.tar.xz rootfs.tar.xz", None),
            (
                "lxd.tar.xz incus.tar.xz root.squashfs disk.qcow2 root.tar.gz",
                None,
            ),
            ("incus_combined.tar.gz", None),
            ("", Some("no image")),
            ("incus.tar.xz", Some("no root file")),
            ("disk.qcow2", Some("no metadata")),
            ("incus.tar.xz delta-20260127.vcdiff", Some("no root file")),
            (
                "incus_combined.tar.gz incus.tar.xz root.squashfs",
                Some("either"),
            ),
            ("incus_combined.tar.gz incus.tar.xz", Some("either")),
            (
                "incus.tar.xz root.tar.xz rootfs.tar.xz",
                Some("root.tar.xz and rootfs.tar.xz"),
            ),
        ] {
            let files: Vec<_> = names
                .split_whitespace()
                .map(|name| (name, Role::of(name).unwrap()))
                .collect();
            let files: Vec<_> = files.iter().map(|(name, role)| (*name, role)).collect();
            let why = judge(&files);
            match expect {
                None => assert_eq!(why, None, "{names}"),
                Some(words) => assert!(why.unwrap().contains(words), "{names}"),
            }
        }
    }
}
