//! CRC-32C, by which headers and tables are checked (RFC 3720, appendix B.4).

/// Whether the checksum in `at` is that of all bytes, its own four taken as zeros.
pub(super) fn is_right(bytes: &[u8], at: usize) -> bool {
    let sum = of(of(of(!0, &bytes[..at]), &[0; 4]), &bytes[at + 4..]);
    bytes[at..at + 4] == (!sum).to_le_bytes()
}

fn of(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| {
        let [low, ..] = sum.to_le_bytes();
        sum >> 8 ^ TABLE[usize::from(low ^ byte)]
    })
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                value >> 1 ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
}

/// Castagnoli's, its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_the_rfc() {
        for (bytes, expect) in [
            (vec![0; 32], 0x8a91_36aa),
            (vec![0xff; 32], 0x62a8_ab43),
            ((0..32).collect(), 0x46dd_794e),
            (b"123456789".to_vec(), 0xe306_9283),
        ] {
            assert_eq!(!of(!0, &bytes), expect);
        }
    }
}
