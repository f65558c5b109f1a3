//! The summary of a run: the body of a pull request, as Markdown.

use std::fmt;

use askama::Template;
use distro_fetch::ImageName;
use distro_fetch::base::HumanBytes;
use distro_fetch::catalog::{Pin, Trust};

use crate::ask::Trouble;
use crate::report::{Changed, Failed, Group, Report, group};

/// Whether the new pins were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They were, or would be.
    Accepted,
    /// Nothing is: something failed, and it was not said to keep going.
    Refused,
}

/// The Markdown text.
///
/// # Errors
/// None that a template without fallible parts can have.
pub fn render(report: &Report, outcome: Outcome) -> Result<String, askama::Error> {
    let (lost, alarms): (Vec<_>, Vec<_>) = report.failures.iter().partition(|it| it.is_lost());
    let looked_at = report.changes.iter().filter(|it| {
        // What a reviewer should not wave through.
        it.other_place || it.other_size
    });
    let mut text = Summary {
        report,
        title: match outcome {
            Outcome::Accepted => report.subject(),
            Outcome::Refused => format!("catalog: refused, {} failed", count(&report.failures)),
        },
        unpinned: by_image(&report.unpinned),
        refused: outcome == Outcome::Refused,
        lost: group(lost),
        alarms: group(alarms),
        odd: looked_at.collect(),
    }
    .render()?;
    // One newline at the end, and no run of empty lines, whatever sections there are.
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    Ok(format!("{}\n", text.trim_end()))
}

#[derive(Template)]
#[template(path = "summary.md", escape = "none")]
struct Summary<'a> {
    report: &'a Report,
    title: String,
    unpinned: Vec<Unpinned<'a>>,
    refused: bool,
    lost: Vec<Group<'a>>,
    alarms: Vec<Group<'a>>,
    odd: Vec<&'a Changed>,
}

/// The architectures of an image for which there is nothing to be had.
struct Unpinned<'a> {
    image: &'a ImageName,
    arches: String,
    why: String,
}

fn by_image(failed: &[Failed]) -> Vec<Unpinned<'_>> {
    let images = failed.chunk_by(|a, b| a.image == b.image);
    let images = images.map(|of_image| {
        let arches: Vec<_> = of_image.iter().map(|it| it.arch.as_str()).collect();
        Unpinned {
            image: &of_image[0].image,
            arches: arches.join(", "),
            why: of_image[0].why(),
        }
    });
    images.collect()
}

fn count(failed: &[Failed]) -> String {
    match failed.len() {
        1 => "1 pin".to_owned(),
        n => format!("{n} pins"),
    }
}

impl Changed {
    fn old_snapshot(&self) -> String {
        let old = self.old.as_ref();
        old.map_or_else(|| "–".to_owned(), |it| code(&it.snapshot))
    }

    fn new_snapshot(&self) -> String {
        code(&self.new.snapshot)
    }

    fn size_change(&self) -> String {
        let new = self.new.size;
        let Some(new) = new else {
            return "unknown".to_owned();
        };
        match self.old.as_ref().and_then(|it| it.size) {
            None => HumanBytes(new).to_string(),
            Some(old) if old == new => format!("{}, the same", HumanBytes(new)),
            Some(old) => {
                let sign = if new > old { '+' } else { '−' };
                let percent = percent(old, new);
                format!("{}, {sign}{percent}", HumanBytes(new))
            }
        }
    }

    fn trusted_by(&self) -> String {
        match (&self.trust, &self.signer) {
            (Trust::Signature, Some(signer)) => format!("signature: {}", plain(signer)),
            (trust, _) => trust.as_str().to_owned(),
        }
    }

    fn old_address(&self) -> String {
        let old = self.old.as_ref();
        old.map_or_else(String::new, |it| code(&it.address))
    }

    fn new_address(&self) -> String {
        code(&self.new.address)
    }

    fn short_hash(&self) -> String {
        let short = |pin: &Pin| format!("`{}`", pin.sha256.short());
        match &self.old {
            Some(old) if old.sha256 != self.new.sha256 => {
                format!("{} → {}", short(old), short(&self.new))
            }
            _ => short(&self.new),
        }
    }
}

impl Failed {
    fn why(&self) -> String {
        why(&self.trouble)
    }
}

impl Group<'_> {
    fn why(&self) -> String {
        why(self.trouble)
    }

    /// The pins with what they stay at, not all of them if a whole server is down.
    fn pins(&self) -> String {
        let shown = self.pins.iter().take(MAX_PINS).map(|it| match &it.kept {
            Some(kept) => format!("{} {} `{kept}`", it.image, it.arch),
            None => format!("{} {}", it.image, it.arch),
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        match self.pins.len().saturating_sub(MAX_PINS) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }
}

fn why(trouble: &Trouble) -> String {
    format!("**{}**: {}", trouble.kind.as_str(), plain(&trouble.message))
}

/// The change in tenths of a per cent, without floating point.
fn percent(old: u64, new: u64) -> String {
    let tenths = u128::from(old.abs_diff(new)) * 1000 / u128::from(old.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Types with an alphabet of their own, in which no backtick occurs.
fn code(it: &impl fmt::Display) -> String {
    format!("`{it}`")
}

/// Text that may be upstream's, as text: nothing of it is Markdown, HTML, a terminal's or a
/// mention of somebody (test 110 of the threat model).
pub fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().take(MAX_QUOTED).peekable();
    while let Some(c) = rest.next() {
        let after = rest.peek().copied().unwrap_or(' ');
        match c {
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if c.is_control() || is_invisible(c) => escaped.push('\u{fffd}'),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // `@` and `#` would call people and issues; a bare address would become a link.
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            ':' if after == '/' => escaped.push_str("&#58;"),
            '.' if before.eq_ignore_ascii_case(&'w') => escaped.push_str("&#46;"),
            // Within a word it is no emphasis.
            '_' if before.is_alphanumeric() && after.is_alphanumeric() => escaped.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
        before = c;
    }
    if text.chars().nth(MAX_QUOTED).is_some() {
        escaped.push('…');
    }
    escaped
}

/// Characters that change how others are read: directions, joiners, tags.
fn is_invisible(c: char) -> bool {
    matches!(
        u32::from(c),
        0x00ad | 0x061c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xfe00..=0xfe0f | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe0fff
    )
}

/// Pins of one row.
const MAX_PINS: usize = 12;
/// Characters of one message.
const MAX_QUOTED: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_upstream_says_is_text() {
        for (text, expect) in [
            ("plain words, 3.21", "plain words, 3.21"),
            ("a|b", "a\\|b"),
            ("[x](https://evil)", "\\[x\\](https&#58;//evil)"),
            ("www.evil.example", "www&#46;evil.example"),
            ("20260128_13:00 _x_", "20260128_13:00 \\_x\\_"),
            ("<img src=x>", "&lt;img src=x&gt;"),
            ("@everyone #1", "&#64;everyone &#35;1"),
            ("\u{1b}[31mred", "\u{fffd}\\[31mred"),
            ("a\u{202e}b", "a\u{fffd}b"),
            ("two\nlines", "two lines"),
            ("`code`", "\\`code\\`"),
        ] {
            assert_eq!(plain(text), expect);
        }
        assert_eq!(plain(&"x".repeat(1000)).chars().count(), MAX_QUOTED + 1);
    }
}
