//! stdout and stderr.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;

use super::args::ColorMode;

/// The reader of our output has gone.
#[derive(Debug)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stdout was closed")
    }
}

impl std::error::Error for Closed {}

/// Prints a result.
pub(crate) fn result(text: &str) -> Result<()> {
    stream(|out| writeln!(out, "{text}"))
}

/// Prints a result that is made piece by piece.
pub(crate) fn stream(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match print(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => Ok(other?),
    }
}

/// Prints a document.
pub(crate) fn json(document: &serde_json::Value) -> Result<()> {
    result(&format!("{document:#}"))
}

/// Prints anything else. That nobody listens is no error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text without anything that a terminal would obey; line breaks stay.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hostile = c.is_control() && c != '\n';
            let escaped = hostile.then(|| c.escape_default());
            escaped.into_iter().flatten().chain((!hostile).then_some(c))
        })
        .collect()
}

/// Columns of equal width, two spaces apart; the last one as long as it is.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether stderr gets colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Color(bool);

impl Color {
    pub(crate) fn of(mode: ColorMode) -> Self {
        // https://no-color.org: set and not empty.
        #[allow(clippy::disallowed_methods)] // a convention of terminals, not a setting
        let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(match mode {
            ColorMode::Always => true,
            ColorMode::Never => false,
            ColorMode::Auto => io::stderr().is_terminal() && !unwanted(),
        })
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(harmless("a\x1b[31mb\nc\u{7}"), "a\\u{1b}[31mb\nc\\u{7}");
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bb"], ["ccc", "d"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a    bb\nccc  d");
        assert_eq!(table(&[]), "");
    }
}
