//! Paths of a document: what lies below a server, and nothing else.

use crate::base::{decode_percent, encode_path};
use crate::error::{Error, Kind};

/// Judges a `path` of a document and gives it back percent-encoded as it stands in a URL.
///
/// # Errors
/// [`Kind::Format`] for whatever is not a plain path below the server's base: absolute ones,
/// other schemes and hosts, `..`, and escapes that may hide these.
pub fn relative_path(path: &str) -> Result<String, Error> {
    let refuse = |why: &str| {
        let shown: String = path.chars().take(MAX_SHOWN).collect();
        Error::new(Kind::Format, format!("the path {shown:?}: {why}"))
    };
    if path.is_empty() || path.len() > MAX_PATH {
        return Err(refuse("1 to 1024 bytes are expected"));
    }
    let first = path.split('/').next().unwrap_or_default();
    if first.is_empty() || first.contains(':') {
        return Err(refuse("it leads to somewhere else than below its server"));
    }
    let lower = path.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%25", "%00"]
        .iter()
        .any(|escape| lower.contains(escape))
    {
        return Err(refuse("an escape that may hide another path"));
    }
    let decoded = decode_percent(path);
    let plain = std::str::from_utf8(&decoded).map_err(|_| refuse("not UTF-8"))?;
    if plain.chars().any(|c| c.is_control() || "\\?#".contains(c)) {
        return Err(refuse("a character that no path has"));
    }
    if plain.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(refuse("a segment that is empty, `.` or `..`"));
    }
    Ok(encode_path(plain))
}

/// What the paths of a document are relative to: what stands before `streams/` in the path of
/// the index. Canonical keeps its index at `releases/streams/v1/index.json`.
pub fn server_base(index: &str) -> &str {
    match index.find("streams/") {
        Some(0) => "",
        Some(at) if index[..at].ends_with('/') => &index[..at],
        _ => index.rfind('/').map_or("", |slash| &index[..=slash]),
    }
}

const MAX_PATH: usize = 1024;
const MAX_SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_server() {
        for (path, expect) in [
            (
                "images/a/20260128_13:00/rootfs.tar.xz",
                Some("images/a/20260128_13:00/rootfs.tar.xz"),
            ),
            (
                "images/a/20260128_13%3A00/x",
                Some("images/a/20260128_13:00/x"),
            ),
            ("a b/c", Some("a%20b/c")),
            (
                "streams/v1/com.ubuntu:x.json",
                Some("streams/v1/com.ubuntu:x.json"),
            ),
            ("", None),
            ("/etc/passwd", None),
            ("//evil/x", None),
            ("https://evil/x", None),
            ("file:x", None),
            ("a/../../x", None),
            ("a/./x", None),
            ("a//x", None),
            ("a/", None),
            ("a/%2e%2e/x", None),
            ("a/%2E./x", None),
            ("a%2fx", None),
            ("a%252e/x", None),
            ("a\\..\\x", None),
            ("a?x", None),
            ("a#x", None),
            ("a\nx", None),
        ] {
            let made = relative_path(path).ok();
            assert_eq!(made.as_deref(), expect, "{path:?}");
        }
    }

    #[test]
    fn the_base_is_what_stands_before_the_streams() {
        for (index, base) in [
            ("streams/v1/index.json", ""),
            ("releases/streams/v1/index.json", "releases/"),
            (
                "minimal/releases/streams/v1/index.json",
                "minimal/releases/",
            ),
            ("index.json", ""),
            ("x/index.json", "x/"),
        ] {
            assert_eq!(server_base(index), base);
        }
    }
}
