//! What stops an archive that means harm, on the command line.

use clap::Args;
use distro_fetch::archive::Limits;

/// Where archives end, whatever they say.
#[derive(Args, Debug, Default)]
pub(crate) struct ArchiveLimits {
    /// Stop at so many decompressed bytes
    #[arg(long = "max-bytes", value_name = "BYTES", value_parser = distro_fetch::base::parse_bytes)]
    pub(crate) bytes: Option<u64>,
    /// Stop at so many entries
    #[arg(long = "max-entries", value_name = "N")]
    pub(crate) entries: Option<u64>,
    /// Stop at paths of so many directories, one in the other
    #[arg(long = "max-depth", value_name = "N")]
    pub(crate) depth: Option<usize>,
}

impl ArchiveLimits {
    pub(crate) fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits {
            bytes: self.bytes.unwrap_or(limits.bytes),
            entries: self.entries.unwrap_or(limits.entries),
            depth: self.depth.unwrap_or(limits.depth),
            ..limits
        }
    }
}
