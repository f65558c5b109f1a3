//! POSIX ACLs: from the text of `SCHILY.acl.*` to the attribute that the kernel keeps.
//!
//! Sources: star(5) for the text (`user:name:rwx:1000`, separated by commas, the number last);
//! acl(5) for what is a valid ACL; `include/uapi/linux/posix_acl_xattr.h` for the bytes. GNU tar
//! with `--acls` and bsdtar restore them so. A name without a number is refused: whom it means is
//! written in the image's own `/etc/passwd`, if anywhere, and not on the machine that unpacks.

use super::pax::show;

/// Which of the two ACLs of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Who may do what with it.
    Access,
    /// What is created below it begins with this.
    Default,
}

impl Which {
    /// The attribute in which Linux keeps it.
    pub(super) fn attribute(self) -> &'static [u8] {
        match self {
            Self::Access => b"system.posix_acl_access",
            Self::Default => b"system.posix_acl_default",
        }
    }
}

/// Reads an ACL; `None` if it says no more than the mode does, for then the kernel keeps none.
pub(super) fn parse(text: &[u8], which: Which) -> Result<Option<Vec<u8>>, String> {
    let mut entries = Vec::new();
    for part in text.split(|byte| matches!(byte, b',' | b'\n')) {
        let part = part.trim_ascii();
        if part.is_empty() || part.starts_with(b"#") {
            continue;
        }
        let part = part.strip_prefix(b"default:").unwrap_or(part);
        entries.push(entry(part).ok_or_else(|| format!("no entry of an ACL: {}", show(part)))?);
    }
    if entries.is_empty() {
        return Ok(None);
    }
    entries.sort_unstable();
    let count = |tag| entries.iter().filter(|entry| entry.tag == tag).count();
    let twice = entries
        .windows(2)
        .any(|pair| (pair[0].tag, pair[0].id) == (pair[1].tag, pair[1].id));
    let whole = [USER_OBJ, GROUP_OBJ, OTHER].map(count) == [1, 1, 1];
    let named = count(USER) + count(GROUP) > 0;
    if twice || !whole || (named && count(MASK) == 0) {
        return Err(format!("no valid ACL: {}", show(text)));
    }
    if which == Which::Access && entries.len() == 3 {
        return Ok(None);
    }
    let mut value = VERSION.to_le_bytes().to_vec();
    for entry in entries {
        value.extend_from_slice(&entry.tag.to_le_bytes());
        value.extend_from_slice(&entry.permissions.to_le_bytes());
        value.extend_from_slice(&entry.id.to_le_bytes());
    }
    Ok(Some(value))
}

/// One entry, in the order in which the kernel wants them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: u16,
    id: u32,
    permissions: u16,
}

fn entry(text: &[u8]) -> Option<Entry> {
    let mut parts = text.split(|byte| *byte == b':').map(<[u8]>::trim_ascii);
    let who = parts.next()?;
    let mut qualifier = parts.next()?;
    let next = parts.next();
    // `other:r--` and `mask:r--` are said with one colon, too.
    let short = next.is_none() && matches!(who, b"other" | b"o" | b"mask" | b"m");
    let permissions = if short {
        std::mem::take(&mut qualifier)
    } else {
        next?
    };
    let number = parts.next().filter(|number| !number.is_empty());
    if parts.next().is_some() {
        return None;
    }
    let tag = match (who, qualifier.is_empty()) {
        (b"user" | b"u", true) => USER_OBJ,
        (b"user" | b"u", false) => USER,
        (b"group" | b"g", true) => GROUP_OBJ,
        (b"group" | b"g", false) => GROUP,
        (b"mask" | b"m", true) => MASK,
        (b"other" | b"o", true) => OTHER,
        _ => return None,
    };
    let id = if matches!(tag, USER | GROUP) {
        let number = str::from_utf8(number.unwrap_or(qualifier)).ok()?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        number.parse().ok().filter(|id| *id != NOBODY)?
    } else {
        NOBODY
    };
    let [read, write, run] = permissions else {
        return None;
    };
    let bit = |byte: u8, letter: u8, bit: u16| match byte {
        b'-' => Some(0),
        _ if byte == letter => Some(bit),
        _ => None,
    };
    Some(Entry {
        tag,
        id,
        permissions: bit(*read, b'r', 4)? | bit(*write, b'w', 2)? | bit(*run, b'x', 1)?,
    })
}

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The id of entries that need none.
const NOBODY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// `setfacl -m u:1000:rwx,g:5:r-x` on a file of mode 0640, as `getfattr -e hex` shows it.
    #[test]
    fn the_kernel_keeps_it_so() {
        let text = "user::rw-,group::r--,group:staff:r-x:5,other::---,user:joe:rwx:1000,mask::rwx";
        let value = parse(text.as_bytes(), Which::Access).unwrap().unwrap();
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0200000001000600ffffffff02000700e803000004000400ffffffff0800050005000000\
             10000700ffffffff20000000ffffffff"
        );
        assert_eq!(
            parse(b"user::rwx\ngroup::r-x\nother::r-x\n", Which::Access),
            Ok(None)
        );
        let default = parse(b"u::rwx,g::r-x,other:r-x", Which::Default);
        assert_eq!(default.unwrap().unwrap().len(), 4 + 3 * 8);
        for bad in [
            "user::rwx",
            "user::rwx,group::r-x,other::r-x,user:1:rwx",
            "user::rwx,group::r-x,other::r-x,user:joe:rwx,mask::rwx",
            "user::rwx,group::r-x,other::r-x,other::r-x",
            "user::rwz,group::r-x,other::r-x",
            "user::rwx,group::r-x,other::r-x,mask:x:r-x",
            "user::rwx,group::r-x,other::r-x,user:4294967295:rwx,mask::rwx",
        ] {
            assert!(parse(bad.as_bytes(), Which::Access).is_err(), "{bad}");
        }
    }
}
