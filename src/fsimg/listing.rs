//! What is in an image, as text.

use std::io::{self, Write};

use crate::base::Digest;
use crate::io::HashWriter;
use crate::tree::{Thing, Tree};

/// Writes a line for each name of a tree, in the order of the paths' bytes: type, mode, owners,
/// time, size or device or `-`, path, and then, each with a blank in front, `-> TEXT` of a link,
/// `= PATH` of another name of something, and `NAME=VALUE` of attributes, in hex digits. What is no
/// printable ASCII, blanks and backslashes are escaped.
///
/// # Errors
/// That of the output.
pub fn list(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    for visit in tree.walk() {
        let node = visit.node;
        let (letter, size) = match node.thing() {
            Thing::Folder => ('d', "-".to_owned()),
            Thing::File { size } => ('f', size.to_string()),
            Thing::Symlink(_) => ('l', "-".to_owned()),
            Thing::Character(device) => ('c', format!("{}:{}", device.major, device.minor)),
            Thing::Block(device) => ('b', format!("{}:{}", device.major, device.minor)),
            Thing::Fifo => ('p', "-".to_owned()),
            Thing::Socket => ('s', "-".to_owned()),
        };
        let path = match visit.path.as_slice() {
            b"" => ".".to_owned(),
            path => shown(path),
        };
        // Systems give links all rights, whatever an archive says.
        let mode = match node.thing() {
            Thing::Symlink(_) => 0o777,
            _ => node.mode(),
        };
        write!(
            out,
            "{letter} {mode:o} {}:{} {}.{:09} {size} {path}",
            node.uid(),
            node.gid(),
            node.mtime().seconds,
            node.mtime().nanos,
        )?;
        if let Some(first) = &visit.first {
            write!(out, " = {}", shown(first))?;
        }
        if let Thing::Symlink(text) = node.thing() {
            write!(out, " -> {}", shown(text))?;
        }
        for (name, value) in node.xattrs() {
            write!(out, " {}=", shown(name))?;
            for byte in value {
                write!(out, "{byte:02x}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The SHA-256 of the list: of everything but what is in files.
pub(super) fn digest(tree: &Tree) -> Digest {
    let mut hash = HashWriter::new(io::sink());
    // Hashing has no errors.
    let _ = list(tree, &mut hash);
    hash.finish()
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace(' ', "\\x20")
}
