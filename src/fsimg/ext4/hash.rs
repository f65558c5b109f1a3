//! The hash by which large directories are sorted: half of MD4, over the unsigned bytes of a name.
//!
//! Source: Linux, `fs/ext4/hash.c` and `Documentation/filesystems/ext4/directory.rst`.

/// Hash and minor hash of a name.
pub(super) fn half_md4(seed: [u32; 4], name: &[u8]) -> (u32, u32) {
    let mut state = if seed == [0; 4] { MD4 } else { seed };
    for at in (0..name.len()).step_by(32) {
        mix(&mut state, words(&name[at..]));
    }
    let hash = state[1] & !1;
    // The greatest one means the end of a directory.
    let hash = if hash == END { END - 2 } else { hash };
    (hash, state[2])
}

/// The next 32 bytes, as numbers; what is missing is made of the length of what is left.
fn words(name: &[u8]) -> [u32; 8] {
    // Names have 255 bytes at most.
    let length = u32::try_from(name.len()).unwrap_or(0) & 0xff;
    let pad = length * 0x0101_0101;
    let mut words = [pad; 8];
    for (word, bytes) in words.iter_mut().zip(name.chunks(4)) {
        for byte in bytes {
            *word = *word << 8 | u32::from(*byte);
        }
    }
    // A word that a name ends within, or just behind, holds only its rest.
    words
}

fn mix(state: &mut [u32; 4], input: [u32; 8]) {
    let [mut a, mut b, mut c, mut d] = *state;
    let first = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let second = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let third = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let mut round =
        |f: &dyn Fn(u32, u32, u32) -> u32, add: u32, order: [usize; 8], by: [u32; 4]| {
            for four in order.as_chunks::<4>().0 {
                let word = |nth: usize| input[four[nth]].wrapping_add(add);
                a = a
                    .wrapping_add(f(b, c, d))
                    .wrapping_add(word(0))
                    .rotate_left(by[0]);
                d = d
                    .wrapping_add(f(a, b, c))
                    .wrapping_add(word(1))
                    .rotate_left(by[1]);
                c = c
                    .wrapping_add(f(d, a, b))
                    .wrapping_add(word(2))
                    .rotate_left(by[2]);
                b = b
                    .wrapping_add(f(c, d, a))
                    .wrapping_add(word(3))
                    .rotate_left(by[3]);
            }
        };
    round(&first, 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]);
    round(
        &second,
        0x5a82_7999,
        [1, 3, 5, 7, 0, 2, 4, 6],
        [3, 5, 9, 13],
    );
    round(
        &third,
        0x6ed9_eba1,
        [3, 7, 2, 6, 1, 5, 0, 4],
        [3, 9, 11, 15],
    );
    for (word, now) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(now);
    }
}

/// Where MD4 begins (RFC 1320, section 3.3).
const MD4: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// `EXT4_HTREE_EOF_32BIT`, doubled as hashes are.
const END: u32 = 0xffff_fffe;
