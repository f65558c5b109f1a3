//! CRC-32C (Castagnoli; RFC 3720, section 12.1), as file systems use it: the state goes in and
//! comes out as it is, not inverted.

/// Continues a checksum over some bytes.
pub(super) fn crc32c(state: u32, bytes: &[u8]) -> u32 {
    let mut state = state;
    let (eights, rest) = bytes.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in eights {
        let low = state ^ u32::from_le_bytes([*a, *b, *c, *d]);
        let [a, b, c, d] = low.to_le_bytes();
        let parts = [*h, *g, *f, *e, d, c, b, a];
        state = parts
            .iter()
            .zip(&TABLES)
            .fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
    }
    for byte in rest {
        let [low, ..] = state.to_le_bytes();
        state = state >> 8 ^ TABLES[0][usize::from(low ^ byte)];
    }
    state
}

/// The first says what one byte does, each further one what it does with one more zero after it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut value = 0_u32;
    while value < 256 {
        let mut state = value;
        let mut bit = 0;
        while bit < 8 {
            state = state >> 1 ^ if state & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][value as usize] = state;
        value += 1;
    }
    let mut nth = 1;
    while nth < 8 {
        let mut value = 0;
        while value < 256 {
            let before = tables[nth - 1][value];
            tables[nth][value] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            value += 1;
        }
        nth += 1;
    }
    tables
}

/// The polynomial, its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4.
    #[test]
    fn known_answers() {
        let check = |bytes: &[u8], expect: u32| {
            assert_eq!(!crc32c(!0, bytes), expect);
            let (a, b) = bytes.split_at(bytes.len() / 3);
            assert_eq!(!crc32c(crc32c(!0, a), b), expect, "in two parts");
        };
        check(b"", 0);
        check(b"123456789", 0xe306_9283);
        check(&[0; 32], 0x8a91_36aa);
        check(&[0xff; 32], 0x62a8_ab43);
    }
}
