//! Which machine an image is for.

use std::fmt;
use std::str::FromStr;

use crate::base::Arch;
use crate::error::{Error, Kind};

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

    /// What an architecture is called here, on Linux.
    pub fn of(arch: Arch) -> Self {
        let (architecture, variant) = match arch {
            Arch::Armel => ("arm", Some("v5")),
            Arch::Armv6 => ("arm", Some("v6")),
            Arch::Armhf => ("arm", Some("v7")),
            Arch::I386 => ("386", None),
            Arch::Ppc64el => ("ppc64le", None),
            arch => (arch.as_str(), None),
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Linux on the machine that this program was built for, if its architecture is one of ours.
    pub fn host() -> Option<Self> {
        Arch::host().map(Self::of)
    }

    /// Which of several is for this platform: the one of the same variant, or else the only one
    /// of the same system and architecture. Never "the first".
    pub fn choose<'a, T>(
        &self,
        candidates: impl IntoIterator<Item = T>,
        platform: impl Fn(&T) -> Option<&'a Self>,
    ) -> Option<T> {
        let same = |it: &Self| it.os == self.os && it.architecture == self.architecture;
        let mut rest: Vec<T> = candidates
            .into_iter()
            .filter(|it| platform(it).is_some_and(same))
            .collect();
        let exact = rest.iter().position(|it| {
            platform(it).is_some_and(|it| it.plain_variant() == self.plain_variant())
        });
        match exact {
            Some(at) => Some(rest.swap_remove(at)),
            None if rest.len() == 1 => rest.pop(),
            None => None,
        }
    }

    /// Whether an image for the other one is for this one, as far as anybody can say.
    pub fn accepts(&self, other: &Self) -> bool {
        self.choose([other], |it| Some(*it)).is_some()
    }

    /// The variant, where it says more than that there is none.
    fn plain_variant(&self) -> Option<&str> {
        let variant = self.variant.as_deref().filter(|it| !it.is_empty());
        match (self.architecture.as_str(), variant) {
            ("arm64", Some("v8")) | ("amd64", Some("v1")) => None,
            // Nobody said which: containerd takes it for v7, too.
            ("arm", None) => Some("v7"),
            (_, variant) => variant,
        }
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

impl FromStr for Platform {
    type Err = Error;

    /// `OS/ARCHITECTURE[/VARIANT]`, or an architecture alone, for Linux. Architectures are known
    /// by Go's names and by everybody else's.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            let message = format!("malformed platform {text:?}: as in linux/arm64 or linux/arm/v7");
            Error::new(Kind::Unknown, message)
        };
        let words: Vec<&str> = text.split('/').collect();
        let sound = |word: &&str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !words.iter().all(sound) {
            return Err(refuse());
        }
        let platform = |os: &str, architecture: &str, variant: Option<&str>| {
            let lower = |word: &str| word.to_ascii_lowercase();
            let known = architecture.parse().map(Self::of).ok();
            // `arm` and `386` are Go's words and nobody else's.
            let architecture_of = |it: &Self| it.architecture.clone();
            Self {
                os: lower(os),
                variant: variant
                    .map(lower)
                    .or_else(|| known.as_ref()?.variant.clone()),
                architecture: known.as_ref().map_or(lower(architecture), architecture_of),
            }
        };
        match words[..] {
            [arch] => Ok(Self::of(arch.parse()?)),
            [os, architecture] => Ok(platform(os, architecture, None)),
            [os, architecture, variant] => Ok(platform(os, architecture, Some(variant))),
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_in_every_worlds_words() {
        for (text, expect) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("linux/arm", "linux/arm"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
            ("linux/386", "linux/386"),
            ("windows/amd64", "windows/amd64"),
            ("linux/mips64le", "linux/mips64le"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expect);
        }
        for bad in ["", "vax", "linux/", "/amd64", "linux/a/b/c", "linux/a b"] {
            assert_eq!(bad.parse::<Platform>().unwrap_err().kind(), Kind::Unknown);
        }
        for arch in Arch::ALL {
            assert_eq!(Platform::of(*arch).arch(), Some(*arch));
        }
    }

    #[test]
    fn the_same_variant_or_the_only_candidate() {
        for (wanted, there, expect) in [
            ("linux/amd64", "linux/amd64 linux/arm64", Some(0)),
            ("linux/arm64", "linux/amd64 linux/arm64/v8", Some(1)),
            ("linux/arm64/v8", "linux/amd64 linux/arm64", Some(1)),
            (
                "linux/amd64",
                "linux/amd64/v3 linux/amd64 linux/amd64/v2",
                Some(1),
            ),
            ("linux/amd64", "linux/amd64/v3 linux/amd64/v2", None),
            ("linux/amd64/v2", "linux/amd64/v3 linux/amd64/v2", Some(1)),
            ("linux/arm/v7", "linux/arm/v6 linux/arm/v7", Some(1)),
            ("linux/arm", "linux/arm/v6 linux/arm/v7", Some(1)),
            ("linux/arm/v7", "linux/arm/v6", Some(0)),
            ("linux/arm/v7", "linux/arm/v5 linux/arm/v6", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/riscv64", "linux/amd64", None),
            ("linux/amd64", "", None),
        ] {
            let list: Vec<Platform> = there
                .split_whitespace()
                .map(|it| it.parse().unwrap())
                .collect();
            let wanted: Platform = wanted.parse().unwrap();
            let found = wanted.choose(0..list.len(), |at| list.get(*at));
            assert_eq!(found, expect, "{wanted} of {there}");
        }
    }

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
