//! Days and moments, in UTC, without a clock.
//!
//! Civil-date arithmetic follows Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
//! (`days_from_civil`, `civil_from_days`); HTTP dates follow RFC 9110, section 5.6.7.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind};

/// A calendar day, `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// For the generated table, whose numbers `build.rs` has already judged: `YYYYMMDD`, or 0 for
    /// none. One number, because a large table is as slow to compile as it has expressions.
    #[doc(hidden)]
    #[allow(clippy::cast_possible_truncation)] // `as` is what `const` has; each part fits
    pub const fn from_table(number: u32) -> Option<Self> {
        if number == 0 {
            return None;
        }
        Some(Self {
            year: (number / 10_000) as u16,
            month: (number / 100 % 100) as u8,
            day: (number % 100) as u8,
        })
    }

    /// Year, month (1 to 12) and day (1 to 31).
    pub const fn parts(self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// So many days later; `None` past the year 9999.
    pub fn plus_days(self, days: u64) -> Option<Self> {
        let (year, month, day) = (self.year.into(), self.month.into(), self.day.into());
        let days = i64::try_from(days).ok()?;
        Self::of_days(days_from_civil(year, month, day).checked_add(days)?)
    }

    /// The day that begins so many days after 1970-01-01.
    fn of_days(days: i64) -> Option<Self> {
        // Far outside of what a date can say, the arithmetic would overflow.
        if !(0..=MAX_DAYS).contains(&days) {
            return None;
        }
        let (year, month, day) = civil_from_days(days);
        Some(Self {
            year: u16::try_from(year).ok()?,
            month: u8::try_from(month).ok()?,
            day: u8::try_from(day).ok()?,
        })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::new(Kind::Format, format!("malformed date {text:?}: YYYY-MM-DD"));
        let bytes = text.as_bytes();
        let shape = bytes.len() == 10
            && bytes.iter().enumerate().all(|(at, b)| match at {
                4 | 7 => *b == b'-',
                _ => b.is_ascii_digit(),
            });
        if !shape {
            return Err(refuse());
        }
        let year: u16 = text[..4].parse().map_err(|_| refuse())?;
        let month: u8 = text[5..7].parse().map_err(|_| refuse())?;
        let day: u8 = text[8..].parse().map_err(|_| refuse())?;
        let back = civil_from_days(days_from_civil(
            i64::from(year),
            i64::from(month),
            i64::from(day),
        ));
        if back != (i64::from(year), i64::from(month), i64::from(day)) || year < 1970 {
            return Err(refuse());
        }
        Ok(Self { year, month, day })
    }
}

/// Seconds since 1970-01-01T00:00:00Z, printed as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The day, in UTC; `None` before 1970 and past the year 9999.
    pub fn date(self) -> Option<Date> {
        Date::of_days(self.0.div_euclid(DAY))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY));
        let second = self.0.rem_euclid(DAY);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads what `Display` writes: `YYYY-MM-DDTHH:MM:SSZ`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            Error::new(
                Kind::Format,
                format!("malformed time {text:?}: YYYY-MM-DDTHH:MM:SSZ"),
            )
        };
        let (day, time) = text
            .strip_suffix('Z')
            .and_then(|text| text.split_once('T'))
            .ok_or_else(refuse)?;
        let (year, month, day) = day.parse::<Date>()?.parts();
        let days = days_from_civil(i64::from(year), i64::from(month), i64::from(day));
        let second = seconds_of_day(time).ok_or_else(refuse)?;
        Ok(Self(days * DAY + second))
    }
}

/// Reads an HTTP date (`Sun, 06 Nov 1994 08:49:37 GMT`, the one form that senders may still
/// produce) into seconds since 1970; `None` for anything else.
pub fn parse_http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year: i64 = words.next()?.parse().ok()?;
    let second = seconds_of_day(words.next()?)?;
    if words.next()? != "GMT" || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let month = i64::try_from(month).ok()? + 1;
    Some(days_from_civil(year, month, day) * DAY + second)
}

fn seconds_of_day(time: &str) -> Option<i64> {
    let mut parts = time.split(':').map(|part| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten()
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let valid = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    valid.then_some(hour * 3600 + minute * 60 + second)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

const DAY: i64 = 86_400;

/// 9999-12-31.
const MAX_DAYS: i64 = 2_932_896;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_real_days() {
        assert_eq!(
            "2026-01-29".parse::<Date>().unwrap().to_string(),
            "2026-01-29"
        );
        assert!("2024-02-29".parse::<Date>().is_ok());
        for bad in [
            "2023-02-29",
            "2026-13-01",
            "2026-1-1",
            "20260129",
            "",
            "2026-00-10",
            "1969-01-01",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }

    #[test]
    fn days_are_counted() {
        let date = |text: &str| text.parse::<Date>().unwrap();
        for (from, days, expect) in [
            ("2026-01-28", 0, Some("2026-01-28")),
            ("2024-02-28", 2, Some("2024-03-01")),
            ("2025-12-31", 1, Some("2026-01-01")),
            ("9999-12-30", 1, Some("9999-12-31")),
            ("9999-12-31", 1, None),
            ("2026-01-28", u64::MAX, None),
        ] {
            assert_eq!(
                date(from).plus_days(days),
                expect.map(date),
                "{from} {days}"
            );
        }
        assert_eq!(Timestamp(784_111_777).date(), Some(date("1994-11-06")));
        assert_eq!(Timestamp(-1).date(), None);
        assert_eq!(Timestamp(i64::MAX).date(), None);
    }

    #[test]
    fn moments_round_trip() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (784_111_777, "1994-11-06T08:49:37Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
            assert_eq!(text.parse::<Timestamp>().unwrap(), Timestamp(seconds));
        }
        assert_eq!(
            parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        for bad in [
            "",
            "soon",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(bad), None, "{bad}");
        }
    }
}
