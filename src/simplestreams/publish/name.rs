//! Names that stand in an index: of products, versions, architectures.

use crate::base::{Date, Timestamp};

/// Whether a name may be part of a product's key, of an alias and of a URL without being quoted in
/// any of them.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    !name.starts_with('.') && (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain)
}

/// Whether Incus takes a name for an architecture; it passes over products of any other.
pub(super) fn is_arch(name: &str) -> bool {
    ARCHES.contains(&name)
}

/// Whether a name is a serial: a day that there is, as `YYYYMMDD`, and perhaps more. Incus reads
/// the day and compares the rest as text.
pub(super) fn is_serial(name: &str) -> bool {
    let (Some(day), Some(rest)) = (name.get(..8), name.get(8..)) else {
        return false;
    };
    if !day.bytes().all(|b| b.is_ascii_digit()) || name.len() > MAX_NAME {
        return false;
    }
    let day = format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..]);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    day.parse::<Date>().is_ok() && rest.chars().all(plain) && is_time(rest)
}

/// `_HH:MM` with numbers that no clock shows is not one; what looks like something else is not
/// judged.
fn is_time(rest: &str) -> bool {
    let Some((hour, minute)) = rest.strip_prefix('_').and_then(|it| it.split_once(':')) else {
        return true;
    };
    let below = |text: &str, limit: u8| {
        let number = text.parse::<u8>();
        text.len() == 2 && number.is_ok_and(|it| it < limit)
    };
    below(hour, 24) && below(minute, 60)
}

/// The serial of a build that was made at this time: `YYYYMMDD_HH:MM`, in UTC; `None` before 1970
/// and past the year 9999.
pub(super) fn serial_of(time: Timestamp) -> Option<String> {
    time.date()?;
    let text = time.to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Some(format!(
        "{}_{}:{}",
        &digits[..8],
        &digits[8..10],
        &digits[10..12]
    ))
}

/// What keeps a name well below NAME_MAX, with room for what hides it.
const MAX_NAME: usize = 64;

/// `shared/osarch/architectures.go` of Incus 6.0: names and aliases.
const ARCHES: &[&str] = &[
    "386",
    "aarch64",
    "amd64",
    "arm64",
    "armel",
    "armhf",
    "armv6l",
    "armv7l",
    "armv8l",
    "i386",
    "i586",
    "i686",
    "loong64",
    "loongarch64",
    "mips",
    "mips64",
    "mips64el",
    "mipsel",
    "powerpc",
    "powerpc64",
    "ppc",
    "ppc64",
    "ppc64el",
    "ppc64le",
    "riscv32",
    "riscv64",
    "s390x",
    "x86",
    "x86_64",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_begins_with_a_day() {
        for good in [
            "20260128_13:00",
            "20260720",
            "20170619.1",
            "202601281300",
            "20240229_23:59",
        ] {
            assert!(is_serial(good), "{good}");
        }
        for bad in [
            "",
            "2026",
            "11111111_99:99",
            "20230229_10:00",
            "20260128_24:00",
            "20260128_13:60",
            "20260128_1:00",
            "20260128_13:00:99",
            "2026012x",
            "20260128/x",
            "20260128 x",
            "latest",
            "20260128_+1:00",
            "\u{661}\u{661}\u{661}\u{661}",
        ] {
            assert!(!is_serial(bad), "{bad}");
        }
    }

    #[test]
    fn the_serial_of_a_time_is_in_utc() {
        for (seconds, expect) in [
            (1_696_683_680, Some("20231007_13:01")),
            (0, Some("19700101_00:00")),
            (-1, None),
            (i64::MAX, None),
        ] {
            assert_eq!(serial_of(Timestamp(seconds)).as_deref(), expect);
        }
    }

    #[test]
    fn names_need_no_quotes() {
        for good in ["alpine", "3.21", "9-Stream", "gtk+", "a_b"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "", ".", "..", ".x", "a:b", "a,b", "a/b", "a b", "a%b", "a?", "ä", "a\n",
        ] {
            assert!(!is_plain(bad), "{bad:?}");
        }
        assert!(!is_plain(&"x".repeat(65)));
        assert!(is_arch("riscv64") && !is_arch("armv6") && !is_arch("vax"));
    }
}
