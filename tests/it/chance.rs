//! Numbers by chance, the same on every run: Marsaglia's xorshift.

/// Where it stands; anything but 0.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    #[cfg(feature = "unpack")]
    pub(crate) fn new() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }

    #[cfg(feature = "unpack")]
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Bytes that no compression and no accident makes.
#[cfg(any(feature = "fetch", feature = "fsimg"))]
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
