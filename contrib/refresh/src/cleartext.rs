//! The cleartext signature framework (RFC 9580, section 7): where a signed text begins and ends.
//!
//! This finds the block in a document and undoes the dash-escaping; it judges nothing. The
//! verifier is handed the block alone, so that what stands around it cannot reach a parser of
//! signatures, and what the verifier returns is used, never what is unwrapped here. Unwrapping
//! alone serves documents for which there is no key (`trust: https`).
//!
//! The framework is read more strictly than most programs do: no header but `Hash`, and no line
//! of the text that begins with a dash and is not escaped. Either is what a document looks like
//! that wants to be read in two ways.

/// A clear-signed block of a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// From the line that begins the message to the one that ends the signature.
    pub(crate) whole: &'a [u8],
    /// The text without dash-escapes, without blanks at the ends of lines, and without the line
    /// ending before the signature, which is not part of it.
    pub(crate) payload: Vec<u8>,
}

/// Why a document that begins a clear-signed message does not hold one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A header other than `Hash`.
    Header,
    /// A line of the text begins with a dash.
    Dash,
    /// The document ends before the signature does.
    Truncated,
}

impl Malformed {
    /// The same in words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Header => "a header other than Hash in a clear-signed message",
            Self::Dash => "a dash that is not escaped in a clear-signed message",
            Self::Truncated => "a clear-signed message without its end",
        }
    }
}

/// The first clear-signed block, if there is one.
pub(crate) fn open(document: &[u8]) -> Result<Option<Block<'_>>, Malformed> {
    let mut lines = Lines { document, at: 0 };
    let start = loop {
        let start = lines.at;
        match lines.next() {
            None => return Ok(None),
            // A byte order mark belongs to the document, not to its first line.
            Some(line) if trim(line.strip_prefix(BOM).unwrap_or(line)) == BEGIN => break start,
            Some(_) => {}
        }
    };
    let bom = document[start..].starts_with(BOM);
    let start = start + if bom { BOM.len() } else { 0 };
    loop {
        match trim(lines.next().ok_or(Malformed::Truncated)?) {
            b"" => break,
            line if line.starts_with(b"Hash: ") => {}
            _ => return Err(Malformed::Header),
        }
    }
    let mut payload = Vec::new();
    loop {
        let line = lines.next().ok_or(Malformed::Truncated)?;
        if trim(line) == SIGNATURE {
            break;
        }
        let text = match line.strip_prefix(b"- ") {
            Some(escaped) => escaped,
            None if line.starts_with(b"-") => return Err(Malformed::Dash),
            None => line,
        };
        payload.extend_from_slice(trim(text));
        payload.extend_from_slice(ending(line));
    }
    payload.truncate(payload.len() - ending(&payload).len());
    while trim(lines.next().ok_or(Malformed::Truncated)?) != END {}
    Ok(Some(Block {
        whole: &document[start..lines.at],
        payload,
    }))
}

/// Lines with their endings.
struct Lines<'a> {
    document: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.document[self.at..];
        let length = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None => rest.len(),
        };
        self.at += length;
        (length > 0).then(|| &rest[..length])
    }
}

fn ending(line: &[u8]) -> &[u8] {
    let length = match line {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    &line[line.len() - length..]
}

/// Without the line ending and the blanks before it.
fn trim(line: &[u8]) -> &[u8] {
    let mut line = &line[..line.len() - ending(line).len()];
    while let [head @ .., b' ' | b'\t'] = line {
        line = head;
    }
    line
}

const BOM: &[u8] = b"\xef\xbb\xbf";
const BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END: &[u8] = b"-----END PGP SIGNATURE-----";

#[cfg(test)]
mod tests {
    use super::*;

    const B: &str = "-----BEGIN PGP SIGNED MESSAGE-----\n";
    const S: &str = "-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn the_text_is_what_stands_between() {
        for (document, expect) in [
            (format!("{B}Hash: SHA256\n\na\nb\n{S}"), "a\nb"),
            (format!("{B}\na\nb\n{S}"), "a\nb"),
            (
                format!("{B}Hash: SHA1\nHash: SHA256\n\na\n{S}").replace('\n', "\r\n"),
                "a",
            ),
            (format!("{B}\na\nb\n{S}").replace('\n', "\r\n"), "a\r\nb"),
            (format!("{B}\n- - a\n- b\n{S}"), "- a\nb"),
            (format!("{B}\na \t\n\n{S}"), "a\n"),
            (format!("{B}\n{S}"), ""),
            (format!("\u{feff}{B}\na\n{S}"), "a"),
            (format!("before\n{B}\na\n{S}after\n"), "a"),
            (
                format!("{B}\n- {B}- Hash: X\n{S}"),
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: X",
            ),
        ] {
            let block = open(document.as_bytes()).unwrap().unwrap();
            assert_eq!(
                String::from_utf8(block.payload).unwrap(),
                expect,
                "{document}"
            );
            assert!(block.whole.starts_with(b"-----BEGIN"), "{document}");
            assert!(block.whole.trim_ascii_end().ends_with(END), "{document}");
        }
    }

    #[test]
    fn two_ways_to_read_it_are_none() {
        for (document, expect) in [
            (format!("{B}Comment: x\n\na\n{S}"), Malformed::Header),
            (format!("{B}NotDashEscaped: y\n\na\n{S}"), Malformed::Header),
            (format!("{B}a\n\n{S}"), Malformed::Header),
            (format!("{B}\n-a\n{S}"), Malformed::Dash),
            (format!("{B}\n{B}\na\n{S}"), Malformed::Dash),
            (format!("{B}\na\n"), Malformed::Truncated),
            (B.to_owned(), Malformed::Truncated),
            (format!("{B}\na\n{}", &S[..40]), Malformed::Truncated),
        ] {
            assert_eq!(open(document.as_bytes()), Err(expect), "{document}");
        }
        for none in ["", "a\n", " -----BEGIN PGP SIGNED MESSAGE-----\n", S] {
            assert_eq!(open(none.as_bytes()), Ok(None), "{none}");
        }
    }
}
