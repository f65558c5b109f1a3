//! Inodes.
//!
//! Source: Linux, `Documentation/filesystems/ext4/inodes.rst`.

use super::format::{INODE, Seed, high32, low16, low32, put16, put32};
use crate::archive::{Device, Time};

/// What an inode says.
#[derive(Clone, Debug)]
pub(super) struct Inode<'a> {
    /// Type and permission bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) links: u16,
    /// Blocks of the file system, those of attributes and of the tree of extents included.
    pub(super) blocks: u64,
    pub(super) flags: u32,
    /// The root of a tree of extents, a device number, or the text of a link.
    pub(super) body: [u8; 60],
    /// The block of attributes; 0 is none.
    pub(super) attributes: u64,
    pub(super) time: Time,
    /// What follows the fields.
    pub(super) inline: &'a [u8],
}

impl Inode<'_> {
    /// Its bytes, with their checksum.
    pub(super) fn encode(&self, number: u32, seed: Seed) -> [u8; INODE] {
        let mut bytes = [0; INODE];
        let (seconds, extra) = self.time.encode();
        // In units of 512 bytes, 48 bits of them.
        let sectors = self.blocks * 8;
        put16(&mut bytes, 0x00, self.mode);
        put16(&mut bytes, 0x02, low16(self.uid.into()));
        put32(&mut bytes, 0x04, low32(self.size));
        for at in [0x08, 0x0c, 0x10, 0x90] {
            put32(&mut bytes, at, seconds);
        }
        put16(&mut bytes, 0x18, low16(self.gid.into()));
        put16(&mut bytes, 0x1a, self.links);
        put32(&mut bytes, 0x1c, low32(sectors));
        put32(&mut bytes, 0x20, self.flags);
        bytes[0x28..0x64].copy_from_slice(&self.body);
        put32(&mut bytes, 0x68, low32(self.attributes));
        put32(&mut bytes, 0x6c, high32(self.size));
        put16(&mut bytes, 0x74, low16(sectors >> 32));
        put16(&mut bytes, 0x76, low16(self.attributes >> 32));
        put16(&mut bytes, 0x78, low16(u64::from(self.uid) >> 16));
        put16(&mut bytes, 0x7a, low16(u64::from(self.gid) >> 16));
        put16(&mut bytes, 0x80, EXTRA);
        for at in [0x84, 0x88, 0x8c, 0x94] {
            put32(&mut bytes, at, extra);
        }
        bytes[FIELDS..FIELDS + self.inline.len()].copy_from_slice(self.inline);
        let sum = seed.inode(number, 0).sum(&bytes);
        put16(&mut bytes, 0x7c, low16(sum.into()));
        put16(&mut bytes, 0x82, low16(u64::from(sum) >> 16));
        bytes
    }
}

/// Times of 34 bits, from 1901 to 2446, and nanoseconds.
pub(super) trait Clock: Sized {
    /// The field, and the one that extends it: two more bits of seconds, nanoseconds above them.
    fn encode(&self) -> (u32, u32);

    /// The other way; `None` if the nanoseconds are none.
    fn decode(seconds: u32, extra: u32) -> Option<Self>;

    /// The nearest time that can be said.
    fn clamped(self) -> Self;
}

impl Clock for Time {
    fn encode(&self) -> (u32, u32) {
        let low = low32(self.seconds.cast_unsigned());
        let above = self.seconds - i64::from(low.cast_signed());
        let epoch = low32((above >> 32).cast_unsigned()) & 3;
        (low, self.nanos << 2 | epoch)
    }

    fn decode(seconds: u32, extra: u32) -> Option<Self> {
        let nanos = extra >> 2;
        let seconds = i64::from(seconds.cast_signed()) + (i64::from(extra & 3) << 32);
        (nanos < 1_000_000_000).then_some(Self { seconds, nanos })
    }

    fn clamped(self) -> Self {
        let least = i64::from(i32::MIN);
        let most = i64::from(i32::MAX) + (3 << 32);
        match self.seconds {
            seconds if seconds < least => Self {
                seconds: least,
                nanos: 0,
            },
            seconds if seconds > most => Self {
                seconds: most,
                nanos: 999_999_999,
            },
            _ => self,
        }
    }
}

/// A device number in the place of extents: the old way where it fits, as kernels write it.
pub(super) fn device_body(device: Device) -> [u8; 60] {
    let Device { major, minor } = device;
    let mut body = [0; 60];
    if major < 256 && minor < 256 {
        put32(&mut body, 0, major << 8 | minor);
    } else {
        put32(
            &mut body,
            4,
            minor & 0xff | major << 8 | (minor & !0xff) << 12,
        );
    }
    body
}

/// The other way.
pub(super) fn device_of(body: &[u8]) -> Device {
    let word = |at| super::format::get32(body, at);
    match (word(0), word(4)) {
        (0, new) => Device {
            major: new >> 8 & 0xfff,
            minor: new & 0xff | new >> 12 & 0xf_ff00,
        },
        (old, _) => Device {
            major: old >> 8 & 0xff,
            minor: old & 0xff,
        },
    }
}

/// Bytes of fields behind the first 128.
const EXTRA: u16 = 32;

/// Where attributes begin.
pub(super) const FIELDS: usize = 128 + EXTRA as usize;

/// Bytes there are for attributes.
pub(super) const ROOM: usize = INODE - FIELDS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        let check = |seconds: i64, expect: i64| {
            let time = Time { seconds, nanos: 7 };
            let (low, extra) = time.clamped().encode();
            assert_eq!(Time::decode(low, extra).map(|it| it.seconds), Some(expect));
        };
        let (least, most) = (-(1_i64 << 31), (1_i64 << 31) - 1 + (3 << 32));
        for seconds in [
            0,
            1,
            -1,
            1 << 31,
            (1 << 31) - 1,
            1 << 32,
            10_413_792_000,
            least,
            most,
        ] {
            check(seconds, seconds);
        }
        check(least - 1, least);
        check(most + 1, most);
    }

    #[test]
    fn devices_come_back() {
        for (major, minor) in [
            (0, 0),
            (1, 3),
            (255, 255),
            (256, 0),
            (4095, 1_048_575),
            (8, 256),
        ] {
            let device = Device { major, minor };
            assert_eq!(device_of(&device_body(device)), device);
        }
    }
}
