//! The serial of a product version.

use std::fmt;

use crate::base::{Date, Timestamp};
use crate::catalog::Pin;

/// `YYYYMMDD_HH:MM`, as images.linuxcontainers.org has it and Incus expects it to begin.
///
/// It is made of what the catalog says of a pin and of nothing else: upstream's own serial where
/// that is one, else the day in the snapshot with the time or the number that follows it, else
/// the day on which the pin was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Serial {
    date: Date,
    /// Minutes since midnight.
    minute: u16,
}

impl Serial {
    /// The serial of a pin; `None` if the catalog has no day for it.
    pub(super) fn of(pin: &Pin) -> Option<Self> {
        let text = pin.snapshot.as_str();
        if let Some(serial) = Self::parse(text) {
            return Some(serial);
        }
        let Some(date) = pin.snapshot.date() else {
            let date = pin.bumped_at?;
            return Some(Self { date, minute: 0 });
        };
        let (year, month, day) = date.parts();
        let forms = [
            format!("{year:04}{month:02}{day:02}"),
            format!("{year:04}.{month:02}.{day:02}"),
            format!("{year:04}-{month:02}-{day:02}"),
        ];
        let rest = forms.iter().find_map(|form| text.split_once(form));
        let minute = rest.and_then(|(_, rest)| minute_of(rest)).unwrap_or(0);
        Some(Self { date, minute })
    }

    /// Reads what `Display` writes, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (day, time) = text.split_once('_')?;
        if day.len() != 8 || !day.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let date = format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..]);
        let (hour, minute) = time.split_once(':')?;
        let serial = Self {
            date: date.parse().ok()?,
            minute: clock(hour, minute)?,
        };
        (serial.to_string() == text).then_some(serial)
    }

    /// The moment that it names.
    pub(super) fn time(self) -> Timestamp {
        let (hour, minute) = (self.minute / 60, self.minute % 60);
        let text = format!("{}T{hour:02}:{minute:02}:00Z", self.date);
        text.parse().unwrap_or(Timestamp(0))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date.parts();
        let (hour, minute) = (self.minute / 60, self.minute % 60);
        write!(f, "{year:04}{month:02}{day:02}_{hour:02}:{minute:02}")
    }
}

/// What follows a day: a time (`T163057Z`, `_13:00`, `.174141`), or the number of a build of that
/// day, which counts as minutes so that two builds stay two.
fn minute_of(rest: &str) -> Option<u16> {
    let rest = rest.strip_prefix(['T', '_', '.', '-']).unwrap_or(rest);
    let digits: String = rest
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == ':')
        .filter(|c| *c != ':')
        .collect();
    match digits.len() {
        1..=3 => digits.parse().ok(),
        4 | 6 => clock(&digits[..2], &digits[2..4]),
        _ => None,
    }
}

fn clock(hour: &str, minute: &str) -> Option<u16> {
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::base::{Arch, Digest};
    use crate::catalog::Address;

    fn pin(snapshot: &str, bumped_at: Option<&str>) -> Pin {
        let url = format!("https://h/{snapshot}/x");
        Pin {
            arch: Arch::Amd64,
            snapshot: snapshot.parse().unwrap(),
            address: Address::Url(url.parse().unwrap()),
            alternates: Cow::Borrowed(&[]),
            sha256: Digest::from_bytes([0; 32]),
            size: None,
            bumped_at: bumped_at.map(|it| it.parse().unwrap()),
        }
    }

    #[test]
    fn a_pin_has_one_serial() {
        for (snapshot, bumped_at, expect) in [
            ("20260128_13:00", Some("2026-02-01"), Some("20260128_13:00")),
            ("release-20260720", None, Some("20260720_00:00")),
            ("20260501.0", None, Some("20260501_00:00")),
            ("20260501.1", None, Some("20260501_00:01")),
            ("20260112-1989", None, Some("20260112_00:00")),
            ("20251228T163057Z", None, Some("20251228_16:30")),
            ("v20260801.174141", None, Some("20260801_17:41")),
            ("2026.08.01.174141", None, Some("20260801_17:41")),
            ("20260128130000", None, Some("20260128_13:00")),
            ("10.2-20260526.0", None, Some("20260526_00:00")),
            ("20260128_99:99", None, Some("20260128_00:00")),
            ("3.20.3", Some("2024-09-06"), Some("20240906_00:00")),
            ("3.20.3", None, None),
        ] {
            let serial = Serial::of(&pin(snapshot, bumped_at));
            let text = serial.map(|it| it.to_string());
            assert_eq!(text.as_deref(), expect, "{snapshot}");
        }
    }

    #[test]
    fn a_serial_is_a_moment() {
        let serial = Serial::parse("20260128_13:05").unwrap();
        assert_eq!(serial.time().to_string(), "2026-01-28T13:05:00Z");
        for bad in [
            "20260128",
            "20260128_1300",
            "20260128_24:00",
            "20261301_00:00",
            "x",
        ] {
            assert_eq!(Serial::parse(bad), None, "{bad}");
        }
    }
}
