//! Spellings of extended attributes.

/// star's and GNU tar's names: as they are, but `=` as `%3D` and `%` as `%25` (GNU tar 1.28 and
/// later; nobody else writes a name with these).
pub(super) fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut left = name;
    while let [first, rest @ ..] = left {
        left = rest;
        if left.len() >= 2 && *first == b'%' && matches!(&left[..2], b"3D" | b"25") {
            out.push(if &left[..2] == b"3D" { b'=' } else { b'%' });
            left = &left[2..];
        } else {
            out.push(*first);
        }
    }
    out
}

/// The same, to be written.
pub(super) fn escape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'=' => out.extend_from_slice(b"%3D"),
            b'%' => out.extend_from_slice(b"%25"),
            byte => out.push(*byte),
        }
    }
    out
}

/// libarchive's names: RFC 3986, section 2.1.
pub(super) fn url_decode(name: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(name.len());
    let mut left = name;
    while let [first, rest @ ..] = left {
        left = rest;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("a malformed escape in the name".to_owned());
        };
        out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
        left = &rest[2..];
    }
    Ok(out)
}

/// libarchive's values: RFC 4648, section 4, with or without padding at the end.
pub(super) fn base64_decode(text: &[u8]) -> Result<Vec<u8>, String> {
    let malformed = || "the value is not base 64".to_owned();
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] if text.len().is_multiple_of(4) => digits,
        digits => digits,
    };
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(malformed()),
            };
            bits = bits << 6 | u32::from(value);
        }
        let missing = 4 - group.len();
        if missing == 3 {
            return Err(malformed());
        }
        bits <<= 6 * missing;
        out.extend_from_slice(&bits.to_be_bytes()[1..4 - missing]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_base_64() {
        for (text, expect) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zg", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm8", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYmFy", Some("foobar")),
            ("Z", None),
            ("Zm9v=", None),
            ("Zm 9", None),
            ("====", None),
        ] {
            let value = base64_decode(text.as_bytes()).ok();
            assert_eq!(value.as_deref(), expect.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn names_in_both_spellings() {
        let ours = |name: &str| String::from_utf8(unescape(name.as_bytes())).unwrap();
        assert_eq!(ours("user.a%3Db%25%41%"), "user.a=b%%41%");
        assert_eq!(unescape(&escape(b"user.%3D=%")), b"user.%3D=%");
        let url = |name: &str| url_decode(name.as_bytes()).ok();
        assert_eq!(url("user.%41%3d"), Some(b"user.A=".to_vec()));
        assert_eq!(url("user.%4"), None);
        assert_eq!(url("user.%zz"), None);
    }
}
