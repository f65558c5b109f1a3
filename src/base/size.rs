//! Byte counts, for people.

use std::fmt;

use crate::error::{Error, Kind};

/// Prints a byte count with a binary unit and one decimal: `3.3 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    #[allow(clippy::cast_precision_loss)] // one decimal is shown
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        f.pad(&format!("{value:.1} {}", UNITS[unit]))
    }
}

/// Reads `1048576`, `10G`, `1.5GiB`, `512k`: binary units, as disk sizes are written.
///
/// # Errors
/// [`Kind::Format`] for anything else, and for what does not fit 64 bits.
pub fn parse_bytes(text: &str) -> Result<u64, Error> {
    let refuse = || {
        Error::new(
            Kind::Format,
            format!("malformed size {text:?}: a number of bytes, or with K, M, G or T as in 10G"),
        )
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit)
    {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(refuse()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || (shift == 0 && number.contains('.')) {
        return Err(refuse());
    }
    let whole: u128 = whole.parse().map_err(|_| refuse())?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| refuse())?);
    let fraction: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| refuse())?
    };
    let bytes = (whole << shift) + ((fraction << shift) / scale);
    u64::try_from(bytes).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, expect) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("10G", 10 << 30),
            ("1.5GiB", 3 << 29),
            ("512k", 512 << 10),
            ("2 TB", 2 << 40),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), expect, "{text}");
        }
        for bad in ["", "G", "1X", "-1", "1.5", "99999999999T", "1.2.3G", "١"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        for (bytes, expect) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (3_490_290, "3.3 MiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(HumanBytes(bytes).to_string(), expect);
        }
    }
}
