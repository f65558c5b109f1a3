//! `user:password` of a URL as Basic authorization (RFC 7617).

use crate::base::{Url, decode_percent};

/// The value of an `Authorization` header, if the URL brought user information.
pub(super) fn basic(url: &Url) -> Option<String> {
    let bytes = decode_percent(url.userinfo()?);
    let pair = if bytes.contains(&b':') {
        bytes
    } else {
        [&bytes[..], b":"].concat()
    };
    Some(format!("Basic {}", base64(&pair)))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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
        }
    }

    #[test]
    fn user_information_is_decoded_first() {
        let url: Url = "https://Aladdin:open%20sesame@h/".parse().unwrap();
        assert_eq!(basic(&url).unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic(&"https://h/".parse().unwrap()), None);
    }
}
