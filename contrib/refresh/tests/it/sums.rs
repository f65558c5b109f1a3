//! Checksum documents, each in the dialect of its upstream.

use distro_fetch::base::Date;

use crate::facts::Fact;

/// How an upstream writes its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `HASH *name`: Ubuntu.
    Binary,
    /// `HASH  name`: Debian, Kali, AlmaLinux, Arch, Gentoo.
    Text,
    /// `# name: N bytes`, `SHA256 (name) = HASH`: Fedora, CentOS, Rocky.
    Bsd,
    /// `HASH`: Alpine's cloud images.
    Bare,
}

/// Who vouches for a document, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// Nobody.
    None,
    /// The document is clear-signed.
    Clear,
    /// There is a signature beside it.
    Detached,
}

/// A checksum document, from the day on which one of its files is there.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) origin: String,
    pub(crate) dialect: Dialect,
    pub(crate) signing: Signing,
    /// Whether it is signed by the key that is pinned, or by one that the refresher has never
    /// heard of: such a document is trusted for where it comes from.
    pub(crate) pinned: bool,
    /// The files it is about, by their places in the list of facts, sorted.
    pub(crate) files: Vec<usize>,
}

impl Document {
    /// What it says on a day, and when it was written; nothing before its first file is there.
    pub(crate) fn text(&self, facts: &[Fact], day: Date) -> Option<(String, Date)> {
        let files = self.files.iter().map(|at| &facts[*at]);
        let files: Vec<_> = files.filter(|it| it.seen <= day).collect();
        let written = files.iter().map(|it| it.seen).max()?;
        let lines = files.iter().map(|it| line(it, self.dialect));
        Some((lines.collect(), written))
    }
}

fn line(fact: &Fact, dialect: Dialect) -> String {
    let name = fact.url.file_name();
    let (algorithm, hash) = match (&fact.sha256, &fact.sha512) {
        (Some(hash), _) => ("SHA256", hash),
        (None, Some(hash)) => ("SHA512", hash),
        (None, None) => panic!("{} has no hash", fact.url),
    };
    match dialect {
        Dialect::Binary => format!("{hash} *{name}\n"),
        Dialect::Text => format!("{hash}  {name}\n"),
        Dialect::Bare => format!("{hash}\n"),
        Dialect::Bsd => {
            let size = fact.size.map(|size| format!("# {name}: {size} bytes\n"));
            let size = size.unwrap_or_default();
            format!("{size}{algorithm} ({name}) = {hash}\n")
        }
    }
}

/// How the documents of an origin are written.
pub(crate) fn dialect(origin: &str) -> Dialect {
    match origin {
        "alpine" => Dialect::Bare,
        "centos" | "rocky" | "void" => Dialect::Bsd,
        origin if origin.starts_with("fedora") => Dialect::Bsd,
        origin if origin.starts_with("ubuntu") => Dialect::Binary,
        _ => Dialect::Text,
    }
}

/// Whether the documents of an origin sign themselves.
pub(crate) fn is_clear_signed(origin: &str) -> bool {
    matches!(
        origin,
        "fedora" | "fedora-archive" | "fedora-secondary" | "gentoo"
    )
}
