//! Architectures, by Debian's names.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind};

/// A processor architecture. Printed by Debian's name; parsed from Debian's, the kernel's,
/// Docker's and Alpine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Arch {
    /// x86, 64 bits.
    Amd64,
    /// Arm, 64 bits.
    Arm64,
    /// Arm, 32 bits, soft float (Armv4T and newer).
    Armel,
    /// Arm, 32 bits, hard float, Armv7. Alpine and Docker call it `armv7`.
    Armhf,
    /// Arm, 32 bits, hard float, Armv6: Alpine's `armhf`, Void's `armv6l`, Docker's `arm/v6`.
    /// Debian has no port and so no name for it.
    Armv6,
    /// x86, 32 bits.
    I386,
    /// LoongArch, 64 bits.
    Loong64,
    /// POWER, 64 bits, little endian.
    Ppc64el,
    /// RISC-V, 64 bits.
    Riscv64,
    /// IBM Z.
    S390x,
}

impl Arch {
    /// Every architecture, in the order of their names.
    pub const ALL: &'static [Self] = &[
        Self::Amd64,
        Self::Arm64,
        Self::Armel,
        Self::Armhf,
        Self::Armv6,
        Self::I386,
        Self::Loong64,
        Self::Ppc64el,
        Self::Riscv64,
        Self::S390x,
    ];

    /// Debian's name, as it stands in the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Armel => "armel",
            Self::Armhf => "armhf",
            Self::Armv6 => "armv6",
            Self::I386 => "i386",
            Self::Loong64 => "loong64",
            Self::Ppc64el => "ppc64el",
            Self::Riscv64 => "riscv64",
            Self::S390x => "s390x",
        }
    }

    /// The kernel's name, as `uname -m` prints it and most distributions write it in file names.
    pub const fn uname(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
            Self::Armhf => "armv7l",
            Self::Armv6 => "armv6l",
            Self::I386 => "i686",
            Self::Loong64 => "loongarch64",
            Self::Ppc64el => "ppc64le",
            Self::Armel | Self::Riscv64 | Self::S390x => self.as_str(),
        }
    }

    /// The name of the enum's variant: what generated Rust says.
    #[doc(hidden)]
    pub const fn variant(self) -> &'static str {
        match self {
            Self::Amd64 => "Amd64",
            Self::Arm64 => "Arm64",
            Self::Armel => "Armel",
            Self::Armhf => "Armhf",
            Self::Armv6 => "Armv6",
            Self::I386 => "I386",
            Self::Loong64 => "Loong64",
            Self::Ppc64el => "Ppc64el",
            Self::Riscv64 => "Riscv64",
            Self::S390x => "S390x",
        }
    }

    /// The architecture that this program was built for, if it is one of ours.
    pub const fn host() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::Amd64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Arm64)
        } else if cfg!(target_arch = "arm") {
            Some(Self::Armhf)
        } else if cfg!(target_arch = "x86") {
            Some(Self::I386)
        } else if cfg!(target_arch = "loongarch64") {
            Some(Self::Loong64)
        } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
            Some(Self::Ppc64el)
        } else if cfg!(target_arch = "riscv64") {
            Some(Self::Riscv64)
        } else if cfg!(target_arch = "s390x") {
            Some(Self::S390x)
        } else {
            None
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = Error;

    /// Debian's names win where two worlds disagree: `armhf` is Armv7, although Alpine calls its
    /// Armv6 port so.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bare = text.strip_prefix("linux/").unwrap_or(text);
        Ok(match bare.to_ascii_lowercase().as_str() {
            "amd64" | "x86_64" | "x86-64" | "x64" => Self::Amd64,
            "arm64" | "aarch64" | "arm64v8" | "arm64/v8" => Self::Arm64,
            "armel" | "arm32v5" | "arm/v5" | "armv5" | "armv5l" | "armv5tel" => Self::Armel,
            "armhf" | "armv7" | "armv7l" | "armv7hf" | "arm32v7" | "arm/v7" => Self::Armhf,
            "armv6" | "armv6l" | "arm32v6" | "arm/v6" => Self::Armv6,
            "i386" | "i486" | "i586" | "i686" | "x86" | "386" => Self::I386,
            "loong64" | "loongarch64" => Self::Loong64,
            "ppc64el" | "ppc64le" | "power64le" => Self::Ppc64el,
            "riscv64" | "riscv64gc" => Self::Riscv64,
            "s390x" => Self::S390x,
            _ => {
                let known: Vec<_> = Self::ALL.iter().map(|arch| arch.as_str()).collect();
                return Err(Error::new(
                    Kind::Unknown,
                    format!(
                        "unknown architecture {text:?} (known: {})",
                        known.join(", ")
                    ),
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_has_its_names() {
        for (text, expect) in [
            ("x86_64", "amd64"),
            ("aarch64", "arm64"),
            ("arm64v8", "arm64"),
            ("armv7", "armhf"),
            ("armhf", "armhf"),
            ("arm32v6", "armv6"),
            ("linux/arm/v6", "armv6"),
            ("ppc64le", "ppc64el"),
            ("loongarch64", "loong64"),
            ("x86", "i386"),
        ] {
            assert_eq!(text.parse::<Arch>().unwrap().as_str(), expect, "{text}");
        }
        assert_eq!("vax".parse::<Arch>().unwrap_err().kind(), Kind::Unknown);
    }

    #[test]
    fn names_are_sorted_and_round_trip() {
        assert!(Arch::ALL.is_sorted_by_key(|arch| arch.as_str()));
        for arch in Arch::ALL {
            assert_eq!(arch.as_str().parse::<Arch>().unwrap(), *arch);
            assert_eq!(arch.uname().parse::<Arch>().unwrap(), *arch);
            assert_eq!(format!("{arch:?}"), arch.variant());
        }
    }
}
