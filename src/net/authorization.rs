//! Basic authorization (RFC 7617), and the base64 (RFC 4648) that it is written in.

use crate::base::{Url, decode_percent};

/// The value of an `Authorization` header, if the URL brought user information.
pub(super) fn basic(url: &Url) -> Option<String> {
    let bytes = decode_percent(url.userinfo()?);
    let pair = if bytes.contains(&b':') {
        bytes
    } else {
        [&bytes[..], b":"].concat()
    };
    Some(basic_of(&pair))
}

/// The value of an `Authorization` header for `user:password`.
pub(super) fn basic_of(pair: &[u8]) -> String {
    format!("Basic {}", base64(pair))
}

/// Undoes base64 with the standard alphabet; padding and white space may be left out. `None` for
/// anything else.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0_u32, 0);
    let digits = text.trim_end().trim_end_matches('=').bytes();
    for digit in digits.filter(|b| !b.is_ascii_whitespace()) {
        let value = ALPHABET.iter().position(|b| *b == digit)?;
        group = group << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits & 0xff).ok()?);
        }
    }
    // One digit alone is no byte.
    (bits < 6).then_some(bytes)
}

/// RFC 4648, section 4.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            text.push(if digit <= chunk.len() {
                char::from(ALPHABET[(group >> (18 - 6 * digit) & 63) as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(decode_base64(text).unwrap(), bytes.as_bytes());
            let bare = text.trim_end_matches('=');
            assert_eq!(decode_base64(bare).unwrap(), bytes.as_bytes());
        }
        for bad in ["A", "Zg==Zg==", "Zm9v!", "é"] {
            assert_eq!(decode_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn user_information_is_decoded_first() {
        let url: Url = "https://Aladdin:open%20sesame@h/".parse().unwrap();
        assert_eq!(basic(&url).unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic(&"https://h/".parse().unwrap()), None);
    }
}
