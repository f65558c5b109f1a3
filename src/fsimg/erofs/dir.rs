//! Directories: blocks of entries, each with its names behind them.
#![allow(clippy::cast_possible_truncation)] // what is in a block is not longer

use super::format::{PAGE, u16_at, u64_at};
use super::inode::Type;
use crate::tree::{Node, NodeId, Thing};

/// Bytes of an entry without its name.
const ENTRY: usize = 12;

/// The names of a directory with `.` and `..`, in the order of their bytes.
pub(super) fn names(
    folder: Node<'_>,
    parent: NodeId,
) -> impl Iterator<Item = (&[u8], NodeId, Type)> {
    let dots = [(b".".as_slice(), folder.id()), (b"..", parent)];
    let mut dots = dots
        .into_iter()
        .map(|(name, id)| (name, id, Type::Folder))
        .peekable();
    let mut children = folder
        .children()
        .map(|(name, node)| (name, node.id(), type_of(node.thing())))
        .peekable();
    std::iter::from_fn(move || match (dots.peek(), children.peek()) {
        (Some(dot), Some(child)) if dot.0 > child.0 => children.next(),
        (Some(_), _) => dots.next(),
        (None, _) => children.next(),
    })
}

pub(super) fn type_of(thing: Thing<'_>) -> Type {
    match thing {
        Thing::Folder => Type::Folder,
        Thing::File { .. } => Type::File,
        Thing::Symlink(_) => Type::Symlink,
        Thing::Character(_) => Type::Character,
        Thing::Block(_) => Type::Block,
        Thing::Fifo => Type::Fifo,
        Thing::Socket => Type::Socket,
    }
}

/// Bytes of a directory: whole blocks, and what the last one has.
pub(super) fn size<'a>(names: impl Iterator<Item = (&'a [u8], NodeId, Type)>) -> u64 {
    let (mut blocks, mut used) = (0, 0);
    for (name, ..) in names {
        let more = ENTRY + name.len();
        if used + more > PAGE {
            blocks += 1;
            used = 0;
        }
        used += more;
    }
    blocks * PAGE as u64 + used as u64
}

/// Makes the blocks of a directory, one after the other; the last one is as long as it is.
pub(super) fn blocks<'a, E>(
    names: impl Iterator<Item = (&'a [u8], NodeId, Type)>,
    nid: impl Fn(NodeId) -> u64,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut here: Vec<(&[u8], NodeId, Type)> = Vec::new();
    let mut used = 0;
    let mut block = Vec::with_capacity(PAGE);
    let mut names = names.peekable();
    while let Some(next) = names.next() {
        used += ENTRY + next.0.len();
        here.push(next);
        let fits = |(name, ..): &(&[u8], NodeId, Type)| used + ENTRY + name.len() <= PAGE;
        if names.peek().is_some_and(fits) {
            continue;
        }
        block.clear();
        let mut at = here.len() * ENTRY;
        for (name, id, kind) in &here {
            block.extend_from_slice(&nid(*id).to_le_bytes());
            block.extend_from_slice(&(at as u16).to_le_bytes());
            block.extend_from_slice(&[*kind as u8, 0]);
            at += name.len();
        }
        for (name, ..) in &here {
            block.extend_from_slice(name);
        }
        if names.peek().is_some() {
            block.resize(PAGE, 0);
        }
        each(&block)?;
        here.clear();
        used = 0;
    }
    Ok(())
}

/// An entry that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) nid: u64,
    pub(super) kind: u8,
}

/// Reads the entries of one block, of which `last` says whether it is the end of its directory.
pub(super) fn read(block: &[u8], last: bool) -> Result<Vec<Entry<'_>>, &'static str> {
    let Some(head) = block.get(..ENTRY) else {
        return Err("a block of a directory without entries");
    };
    let count = usize::from(u16_at(head, 8)) / ENTRY;
    let begin = count * ENTRY;
    if count == 0 || usize::from(u16_at(head, 8)) != begin || begin > block.len() {
        return Err("a block of a directory whose names begin nowhere");
    }
    let mut entries = Vec::with_capacity(count);
    let start = |at: usize| usize::from(u16_at(block, at * ENTRY + 8));
    for at in 0..count {
        let from = start(at);
        let end = if at + 1 < count {
            start(at + 1)
        } else if last {
            block.len()
        } else {
            // What follows the last name is zeros.
            let end = block.iter().rposition(|&byte| byte != 0);
            end.map_or(0, |end| end + 1)
        };
        if from < begin || end <= from || end > block.len() {
            return Err("a name that is not in its block");
        }
        let entry = &block[at * ENTRY..];
        if entry[11] != 0 {
            return Err("an entry with something in fields that nobody uses");
        }
        entries.push(Entry {
            name: &block[from..end],
            nid: u64_at(entry, 0),
            kind: entry[10],
        });
    }
    Ok(entries)
}
