//! The 512 bytes that stand before each file.
//!
//! Sources: POSIX.1-2017, `pax`, "ustar Interchange Format"; GNU tar 1.35, "Basic Tar Format" and
//! `tar.h`; star(5) for the one field that star takes from the prefix.

use super::entry::Device;
use super::pax::show;

/// Bytes of a header, and the unit of everything in a tar.
pub(super) const BLOCK: usize = 512;

/// A header.
pub(super) struct Block([u8; BLOCK]);

/// Who wrote a header, by its magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Unix version 7: no magic.
    V7,
    /// POSIX.
    Ustar,
    /// star: POSIX with a shorter prefix, behind which two times stand.
    Star,
    /// GNU tar before POSIX: no prefix, other fields in its place.
    Gnu,
}

impl Block {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; BLOCK] {
        &self.0
    }

    /// Whether its checksum is that of the rest: as unsigned bytes, or as the signed ones of some
    /// old programs.
    pub(super) fn is_sound(&self) -> bool {
        let Ok(Some(claimed)) = number(&self.0[148..156]) else {
            return false;
        };
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, byte) in self.0.iter().enumerate() {
            // The field itself counts as blanks.
            let byte = if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        claimed == unsigned || claimed == signed
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.0[257..265] {
            b"ustar  \0" => Dialect::Gnu,
            magic if magic.starts_with(b"ustar\0") => {
                if &self.0[508..512] == b"tar\0" {
                    Dialect::Star
                } else {
                    Dialect::Ustar
                }
            }
            _ => Dialect::V7,
        }
    }

    pub(super) fn flag(&self) -> u8 {
        self.0[156]
    }

    /// The name, with its prefix.
    pub(super) fn name(&self) -> Result<Vec<u8>, String> {
        let name = text(&self.0[..100], "name")?;
        let prefix = match self.dialect() {
            Dialect::Ustar => text(&self.0[345..500], "prefix")?,
            Dialect::Star => text(&self.0[345..476], "prefix")?,
            // Go 1.7 wrote prefixes behind GNU's magic, Python reads them behind any.
            Dialect::Gnu => {
                field(&self.0[345..357], "access time")?;
                field(&self.0[357..369], "change time")?;
                &[]
            }
            Dialect::V7 if self.0[345..500].iter().any(|byte| *byte != 0) => {
                return Err("a prefix in a header that has no room for one".to_owned());
            }
            Dialect::V7 => &[],
        };
        if prefix.is_empty() {
            return Ok(name.to_vec());
        }
        Ok([prefix, b"/", name].concat())
    }

    pub(super) fn link(&self) -> Result<&[u8], String> {
        text(&self.0[157..257], "link name")
    }

    /// Twelve bits. Some programs put the type in, too: it says nothing that the flag does not.
    pub(super) fn mode(&self) -> Result<u32, String> {
        let mode = field(&self.0[100..108], "mode")?;
        u32::try_from(mode & 0o7777).map_err(|_| format!("the mode {mode} is none"))
    }

    pub(super) fn uid(&self) -> Result<u64, String> {
        natural(&self.0[108..116], "owner")
    }

    pub(super) fn gid(&self) -> Result<u64, String> {
        natural(&self.0[116..124], "group")
    }

    pub(super) fn size(&self) -> Result<u64, String> {
        natural(&self.0[124..136], "size")
    }

    pub(super) fn mtime(&self) -> Result<i64, String> {
        field(&self.0[136..148], "time")
    }

    pub(super) fn device(&self) -> Result<Device, String> {
        if self.dialect() == Dialect::V7 {
            return Err("a device in a header that has no room for its number".to_owned());
        }
        let part = |bytes, what| {
            let number = natural(bytes, what)?;
            u32::try_from(number).map_err(|_| format!("the {what} {number} is none"))
        };
        Ok(Device {
            major: part(&self.0[329..337], "major device number")?,
            minor: part(&self.0[337..345], "minor device number")?,
        })
    }
}

/// A number that is not negative.
pub(super) fn natural(bytes: &[u8], what: &str) -> Result<u64, String> {
    let number = field(bytes, what)?;
    u64::try_from(number).map_err(|_| format!("the {what} is negative: {number}"))
}

fn field(bytes: &[u8], what: &str) -> Result<i64, String> {
    match number(bytes) {
        Ok(number) => Ok(number.unwrap_or(0)),
        Err(why) => Err(format!("the {what} {why}: {}", show(bytes))),
    }
}

/// Octal digits after blanks, up to a blank, a NUL or the end; or GNU's base 256. `None` is an
/// empty field, which old programs leave where they have nothing to say.
fn number(bytes: &[u8]) -> Result<Option<i64>, &'static str> {
    if let Some(first @ (0x80 | 0xff)) = bytes.first() {
        return base_256(&bytes[1..], *first == 0xff).map(Some);
    }
    let blanks = bytes.iter().take_while(|byte| **byte == b' ').count();
    let mut value = None;
    for byte in &bytes[blanks..] {
        match byte {
            b'0'..=b'7' => {
                // Twelve octal digits are 36 bits.
                value = Some(value.unwrap_or(0) << 3 | i64::from(byte - b'0'));
            }
            b' ' | 0 => break,
            _ => return Err("is not a number"),
        }
    }
    Ok(value)
}

/// The bytes after the first one, in two's complement (GNU tar, "Extensions to the archive
/// format"). No number is larger than a file may be.
fn base_256(bytes: &[u8], negative: bool) -> Result<i64, &'static str> {
    let mut value: i64 = if negative { -1 } else { 0 };
    for byte in bytes {
        value = value
            .checked_mul(256)
            .and_then(|value| value.checked_add(i64::from(*byte)))
            .ok_or("is too large")?;
    }
    Ok(value)
}

/// A text field up to its first NUL. What follows must be NULs: other programs may read on.
fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a [u8], String> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let (text, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    if rest.iter().any(|byte| *byte != 0) {
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        return Err(format!("a NUL within the {what}: {}", show(&bytes[..=end])));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_spelling() {
        for (bytes, expect) in [
            (&b"0000644\0"[..], Ok(Some(0o644))),
            (b"   644 \0", Ok(Some(0o644))),
            (b"77777777", Ok(Some(0o7777_7777))),
            (b"777777777777", Ok(Some((1 << 36) - 1))),
            (b"\0\0\0\0\0\0\0\0", Ok(None)),
            (b"        ", Ok(None)),
            (b"1\0garbage", Ok(Some(1))),
            (b"\x80\0\0\0\0\0\x01\0", Ok(Some(256))),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Ok(Some(-1))),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\x0c",
                Ok(Some(-500)),
            ),
            (
                b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                Ok(Some(i64::MAX)),
            ),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Err("is too large")),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Ok(Some(i64::MIN))),
            (
                b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
                Err("is too large"),
            ),
            (b"\x81\0\0\0\0\0\0\0", Err("is not a number")),
            (b"-0000001", Err("is not a number")),
            (b"0x000644", Err("is not a number")),
            (b"00000008", Err("is not a number")),
        ] {
            assert_eq!(number(bytes), expect, "{}", bytes.escape_ascii());
        }
    }
}
