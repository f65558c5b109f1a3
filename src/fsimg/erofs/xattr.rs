//! Extended attributes: behind the inodes, or, where several inodes have the same one, in an area
//! that they share.
#![allow(clippy::cast_possible_truncation)] // lengths were looked at

use std::collections::BTreeMap;

use super::format::{BLOCK, XATTR_ENTRY, XATTR_HEADER, XATTRS, u16_at, u32_at};
use crate::tree::{Tree, XattrSet};

/// The beginnings of names that have a number instead. What begins otherwise, the kernel could not
/// read again.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// What is behind each inode, by the tree's number of its set of attributes.
#[derive(Debug, Default)]
pub(super) struct Xattrs {
    bodies: Vec<Vec<u8>>,
    /// The area that inodes share.
    pub(super) shared: Vec<u8>,
    /// Attributes that cannot be said, counted once for each inode.
    pub(super) left_out: u64,
}

/// An attribute: number of its prefix, the rest of its name, its value.
type Attribute<'a> = (u8, &'a [u8], &'a [u8]);

impl Xattrs {
    /// Encodes the sets of a tree, of which each belongs to so many inodes. Of a set that no inode
    /// can have, the number and the reason.
    pub(super) fn plan(tree: &Tree, uses: &[u64]) -> Result<Self, (usize, String)> {
        let mut counts: BTreeMap<Attribute<'_>, u64> = BTreeMap::new();
        let mut left_out = 0;
        for (set, &uses) in tree.xattr_sets().zip(uses).filter(|(_, uses)| **uses > 0) {
            let (known, unknown) = attributes(set);
            left_out += unknown * uses;
            for attribute in known {
                *counts.entry(attribute).or_default() += uses;
            }
        }
        let mut shared = Vec::new();
        let mut places: BTreeMap<Attribute<'_>, u32> = BTreeMap::new();
        for (attribute, uses) in counts {
            let size = entry_size(attribute) as u64;
            let fits = attribute.1.len() <= NAME && attribute.2.len() <= VALUE;
            if fits && uses * size > size + uses * 4 {
                let Ok(place) = u32::try_from(shared.len() / 4) else {
                    continue;
                };
                places.insert(attribute, place);
                push(&mut shared, attribute);
            }
        }
        let mut bodies = Vec::with_capacity(uses.len());
        for (at, (set, &uses)) in tree.xattr_sets().zip(uses).enumerate() {
            let body = match uses {
                0 => Ok(Vec::new()),
                _ => body(set, &places),
            };
            bodies.push(body.map_err(|why| (at, why))?);
        }
        Ok(Self {
            bodies,
            shared,
            left_out,
        })
    }

    /// What is behind an inode with this set.
    pub(super) fn body(&self, set: usize) -> &[u8] {
        self.bodies.get(set).map_or(&[], Vec::as_slice)
    }
}

/// What is behind an inode.
fn body(set: &XattrSet, places: &BTreeMap<Attribute<'_>, u32>) -> Result<Vec<u8>, String> {
    let (attributes, _) = attributes(set);
    let mut out = vec![0; XATTR_HEADER];
    let mut rest = Vec::new();
    for attribute in attributes {
        let (_, name, value) = attribute;
        if name.len() > NAME || value.len() > VALUE {
            let name = name.escape_ascii();
            return Err(format!(
                "the attribute …{name} has more than the {VALUE} bytes that EROFS can say"
            ));
        }
        match places.get(&attribute) {
            Some(place) if out[4] < u8::MAX => {
                out[4] += 1;
                out.extend_from_slice(&place.to_le_bytes());
            }
            _ => push(&mut rest, attribute),
        }
    }
    if out.len() == XATTR_HEADER && rest.is_empty() {
        return Ok(rest);
    }
    out.append(&mut rest);
    if out.len() > XATTRS {
        return Err(format!(
            "{} bytes of attributes, and EROFS can say {XATTRS}",
            out.len()
        ));
    }
    Ok(out)
}

/// The attributes of a set, and how many have no prefix with a number.
fn attributes(set: &XattrSet) -> (Vec<Attribute<'_>>, u64) {
    let mut known: Vec<Attribute<'_>> = Vec::new();
    let mut unknown = 0;
    for (name, value) in set {
        let found = PREFIXES.iter().find_map(|(number, prefix)| {
            let rest = name.strip_prefix(*prefix)?;
            (rest.is_empty() != prefix.ends_with(b".")).then_some((*number, rest))
        });
        match found {
            Some((number, rest)) => known.push((number, rest, value)),
            None => unknown += 1,
        }
    }
    known.sort_unstable();
    (known, unknown)
}

fn entry_size((_, name, value): Attribute<'_>) -> usize {
    (XATTR_ENTRY + name.len() + value.len()).next_multiple_of(4)
}

/// Adds an attribute, whose lengths were looked at.
fn push(out: &mut Vec<u8>, (number, name, value): Attribute<'_>) {
    out.push(name.len() as u8);
    out.push(number);
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Reads what is behind an inode; `shared` gives so many bytes of an image from an offset on.
pub(super) fn read(
    body: &[u8],
    xattr_block: u32,
    shared: &mut impl FnMut(u64, usize) -> crate::error::Result<Vec<u8>>,
) -> crate::error::Result<Result<XattrSet, &'static str>> {
    let mut set = XattrSet::new();
    if body.is_empty() {
        return Ok(Ok(set));
    }
    let ids = usize::from(body[4]);
    let begin = XATTR_HEADER + ids * 4;
    let header = body[..4].iter().chain(&body[5..XATTR_HEADER]);
    if header.copied().any(|byte| byte != 0) || begin > body.len() {
        return Ok(Err("attributes with a header that nobody writes"));
    }
    for id in 0..ids {
        let at = u64::from(u32_at(body, XATTR_HEADER + id * 4)) * 4;
        let at = u64::from(xattr_block) * BLOCK + at;
        let head = shared(at, XATTR_ENTRY)?;
        let size = size_of_entry(&head);
        match one(&shared(at, size)?, &mut set) {
            Ok(_) => {}
            Err(why) => return Ok(Err(why)),
        }
    }
    let mut rest = &body[begin..];
    while !rest.is_empty() {
        match one(rest, &mut set) {
            Ok(size) => rest = &rest[size..],
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(set))
}

fn size_of_entry(head: &[u8]) -> usize {
    let size = XATTR_ENTRY + usize::from(head[0]) + usize::from(u16_at(head, 2));
    size.next_multiple_of(4)
}

/// Reads one attribute, and says how long it is.
fn one(at: &[u8], set: &mut XattrSet) -> Result<usize, &'static str> {
    if at.len() < XATTR_ENTRY || at.len() < size_of_entry(at) {
        return Err("an attribute that is cut off");
    }
    let (name, number) = (usize::from(at[0]), at[1]);
    let value = usize::from(u16_at(at, 2));
    let prefix = PREFIXES.iter().find(|(it, _)| *it == number);
    let (_, prefix) = prefix.ok_or("an attribute with an unknown prefix")?;
    let rest = &at[XATTR_ENTRY..XATTR_ENTRY + name];
    if rest.is_empty() == prefix.ends_with(b".") || rest.contains(&0) {
        return Err("an attribute without a name");
    }
    let value = &at[XATTR_ENTRY + name..XATTR_ENTRY + name + value];
    let full = [*prefix, rest].concat();
    if set.insert(full, value.to_vec()).is_some() {
        return Err("an attribute with two values");
    }
    Ok(size_of_entry(at))
}

/// Longest rest of a name.
const NAME: usize = u8::MAX as usize;
/// Longest value.
const VALUE: usize = u16::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back() {
        let mut set = XattrSet::new();
        for (name, value) in [
            ("user.a", "1"),
            ("user.name", "longer"),
            ("system.posix_acl_access", "acl"),
            ("security.capability", ""),
            ("trusted.overlay.opaque", "y"),
        ] {
            set.insert(name.into(), value.into());
        }
        let body = body(&set, &BTreeMap::new()).unwrap();
        assert_eq!(body.len() % 4, 0);
        let mut nothing =
            |_: u64, _: usize| -> crate::error::Result<Vec<u8>> { panic!("nothing is shared") };
        assert_eq!(read(&body, 0, &mut nothing).unwrap(), Ok(set));
    }

    #[test]
    fn what_has_no_prefix_is_counted() {
        let mut set = XattrSet::new();
        for name in ["system.nfs4_acl", "user.", "security", "user.x"] {
            set.insert(name.into(), b"1".to_vec());
        }
        let (known, unknown) = attributes(&set);
        assert_eq!((known.len(), unknown), (1, 3));
    }
}
