//! Whether upstream probably still has a pin.
//!
//! A guess by age, made without a socket: the snapshot's day (or the day on which the pin was
//! moved) and the retention of the origin. `audit` asks instead of guessing.

use super::schema::{Catalog, Image, Origin, Pin};
use crate::base::{Date, Url};

/// What has probably become of a snapshot at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It is still there.
    Kept,
    /// It has been deleted.
    ProbablyGone {
        /// The first day on which it is older than what is kept there.
        since: Date,
    },
    /// Nobody says how long it is kept there, or how old it is.
    Unknown,
}

impl Outlook {
    /// The words of `list --json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::ProbablyGone { .. } => "probably gone",
            Self::Unknown => "unknown",
        }
    }
}

impl Catalog {
    /// Whether the pinned address probably still has the bytes. The mirrors of its origin follow
    /// it: they have as much, or less.
    ///
    /// ```
    /// use distro_fetch::Catalog;
    /// use distro_fetch::catalog::Outlook;
    ///
    /// let catalog = Catalog::embedded();
    /// let image = catalog.find("alpine-3.21")?;
    /// let outlook = catalog.outlook(image, &image.pins[0], "2030-01-01".parse()?);
    /// assert!(matches!(outlook, Outlook::ProbablyGone { .. }));
    /// # Ok::<(), distro_fetch::Error>(())
    /// ```
    pub fn outlook(&self, image: &Image, pin: &Pin, today: Date) -> Outlook {
        outlook(self.origin_of(image, pin), pin, today)
    }

    /// The alternates that probably still have the bytes, each by the retention of the origin
    /// that it lies on.
    pub fn alternates_that_keep<'a>(
        &'a self,
        pin: &'a Pin,
        today: Date,
    ) -> impl Iterator<Item = &'a Url> {
        pin.alternates
            .iter()
            .filter(move |url| outlook(self.origin_at(url), pin, today) == Outlook::Kept)
    }
}

fn outlook(origin: Option<&Origin>, pin: &Pin, today: Date) -> Outlook {
    let Some(origin) = origin else {
        return Outlook::Unknown;
    };
    let Some(days) = origin.retention.days() else {
        return Outlook::Kept;
    };
    let Some(date) = pin.snapshot.date().or(pin.bumped_at) else {
        return Outlook::Unknown;
    };
    match date.plus_days(days.saturating_add(1)) {
        Some(since) if since <= today => Outlook::ProbablyGone { since },
        _ => Outlook::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Rules;

    /// Origins that keep for good, for 3 builds and for 90 days, and an image on one of them.
    fn catalog(url: &str, snapshot: &str, bumped_at: Option<&str>) -> Catalog {
        let bumped = bumped_at.map_or_else(String::new, |it| format!(r#""bumped_at": "{it}","#));
        let text = format!(
            r#"{{"schema": 1, "origins": {{
                "archive": {{"url": "https://archive/", "retention": "permanent"}},
                "builds": {{"url": "https://builds/", "retention": {{"builds": 3}},
                            "mirrors": {{"m": "https://mirror/"}}}},
                "days": {{"url": "https://days/", "retention": {{"days": 90}}}},
                "deep": {{"url": "https://builds/deep/", "retention": "permanent"}}
            }}, "images": {{"demo-1": {{
                "distro": "demo", "version": "1", "kind": "rootfs", "arches": ["amd64"],
                "pins": {{"amd64": {{
                    "snapshot": "{snapshot}", "url": "{url}", {bumped}
                    "alternates": ["https://days/{snapshot}/x", "https://archive/{snapshot}/x",
                                   "https://nobody/{snapshot}/x"],
                    "sha256": "{hash}", "size": 1
                }}}}
            }}}}}}"#,
            hash = "ab".repeat(32)
        );
        Catalog::parse(&text, Rules::Overlay).unwrap()
    }

    #[test]
    fn age_against_retention() {
        for (url, snapshot, bumped, today, expect) in [
            (
                "https://builds/20260128_13:00/x",
                "20260128_13:00",
                None,
                "2026-01-31",
                "kept",
            ),
            (
                "https://builds/20260128_13:00/x",
                "20260128_13:00",
                None,
                "2026-02-01",
                "2026-02-01",
            ),
            (
                "https://builds/20260128_13:00/x",
                "20260128_13:00",
                None,
                "2026-01-01",
                "kept",
            ),
            (
                "https://builds/1.0/x",
                "1.0",
                Some("2026-01-28"),
                "2026-02-05",
                "2026-02-01",
            ),
            ("https://builds/1.0/x", "1.0", None, "2026-02-05", "unknown"),
            (
                "https://builds/deep/1.0/x",
                "1.0",
                None,
                "2036-02-05",
                "kept",
            ),
            // The serial is older than the day on which somebody noticed it.
            (
                "https://days/20260101/x",
                "20260101",
                Some("2026-03-01"),
                "2026-04-02",
                "2026-04-02",
            ),
            (
                "https://archive/20100101/x",
                "20100101",
                None,
                "2036-01-01",
                "kept",
            ),
            (
                "https://mirror/20100101/x",
                "20100101",
                None,
                "2036-01-01",
                "unknown",
            ),
            (
                "file:///srv/20100101/x",
                "20100101",
                None,
                "2036-01-01",
                "unknown",
            ),
        ] {
            let catalog = catalog(url, snapshot, bumped);
            let image = &catalog.images[0];
            let outlook = catalog.outlook(image, &image.pins[0], today.parse().unwrap());
            let got = match outlook {
                Outlook::ProbablyGone { since } => since.to_string(),
                other => other.as_str().to_owned(),
            };
            assert_eq!(got, expect, "{url} {today}");
        }
    }

    #[test]
    fn alternates_are_judged_by_their_own_origins() {
        let catalog = catalog("https://builds/20260128_13:00/x", "20260128_13:00", None);
        let pin = &catalog.images[0].pins[0];
        for (today, expect) in [
            ("2026-02-05", vec!["days", "archive"]),
            ("2027-01-01", vec!["archive"]),
        ] {
            let keep = catalog.alternates_that_keep(pin, today.parse().unwrap());
            assert_eq!(keep.map(Url::host).collect::<Vec<_>>(), expect);
        }
    }
}
