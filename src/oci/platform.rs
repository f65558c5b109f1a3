//! Which machine an image is for.

use std::fmt;

use crate::base::Arch;

/// A platform in the words of an image index: Go's names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm`, `386` …
    pub architecture: String,
    /// `v7`, where the architecture has several.
    pub variant: Option<String>,
}

impl Platform {
    /// The architecture that it stands for. `None` for another system, for an architecture that is
    /// none of ours, and for a variant that not every machine of it can run (`amd64/v3`).
    pub fn arch(&self) -> Option<Arch> {
        if self.os != "linux" {
            return None;
        }
        let variant = self
            .variant
            .as_deref()
            .filter(|variant| !variant.is_empty());
        Some(match (self.architecture.as_str(), variant) {
            ("amd64", None | Some("v1")) => Arch::Amd64,
            ("arm64", None | Some("v8")) => Arch::Arm64,
            // Nobody said which: containerd takes it for v7, too.
            ("arm", None | Some("v7")) => Arch::Armhf,
            ("arm", Some("v6")) => Arch::Armv6,
            ("arm", Some("v5")) => Arch::Armel,
            ("386", _) => Arch::I386,
            ("loong64", _) => Arch::Loong64,
            ("ppc64le", _) => Arch::Ppc64el,
            ("riscv64", _) => Arch::Riscv64,
            ("s390x", _) => Arch::S390x,
            _ => return None,
        })
    }

    /// What builders write for a thing that no machine runs: an attestation.
    pub(super) fn is_nowhere(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_architectures() {
        for (text, expect) in [
            ("linux/amd64", Some(Arch::Amd64)),
            ("linux/amd64/v3", None),
            ("linux/arm64", Some(Arch::Arm64)),
            ("linux/arm64/v8", Some(Arch::Arm64)),
            ("linux/arm64/v9", None),
            ("linux/arm", Some(Arch::Armhf)),
            ("linux/arm/v7", Some(Arch::Armhf)),
            ("linux/arm/v6", Some(Arch::Armv6)),
            ("linux/arm/v5", Some(Arch::Armel)),
            ("linux/386", Some(Arch::I386)),
            ("linux/loong64", Some(Arch::Loong64)),
            ("linux/ppc64le", Some(Arch::Ppc64el)),
            ("linux/riscv64", Some(Arch::Riscv64)),
            ("linux/s390x", Some(Arch::S390x)),
            ("linux/mips64le", None),
            ("windows/amd64", None),
            ("unknown/unknown", None),
        ] {
            let mut words = text.split('/').map(str::to_owned);
            let platform = Platform {
                os: words.next().unwrap(),
                architecture: words.next().unwrap(),
                variant: words.next(),
            };
            assert_eq!(platform.arch(), expect, "{text}");
            assert_eq!(platform.to_string(), text);
        }
    }
}
