//! Hex digits of a known number of bytes.

/// Exactly `N` bytes in hex, in either case: upstreams differ, and what is kept is bytes.
/// A [`Digest`](super::Digest) of ours has one spelling and is stricter.
pub fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

/// What one hex digit stands for.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_number_of_digits() {
        assert_eq!(decode_hex::<2>("0aFf"), Some([0x0a, 0xff]));
        for bad in ["", "0af", "0aff0", "0a f", "0aég", "+a-f"] {
            assert_eq!(decode_hex::<2>(bad), None, "{bad:?}");
        }
    }
}
