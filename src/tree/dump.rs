//! A tree as a text, to be read and compared.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::node::{Thing, Tree};

impl Tree {
    /// Writes a line for each name, in the order of the paths' bytes:
    ///
    /// ```text
    /// d 0755 0:0 1700000000.000000000 - etc
    /// f 0644 0:0 1700000000.000000000 6 etc/hello user.note=68656c6c6f
    /// h - - - - etc/hello-again -> etc/hello
    /// l 0777 0:0 1700000000.000000000 - etc/link -> hello
    /// c 0666 0:0 1700000000.000000000 1:3 dev/null
    /// ```
    ///
    /// Type (as in a [digest](super)), mode, owner, mtime, size or device number, path; what it
    /// leads to; attributes, their values in hex. The root is `.`; bytes of names that are not
    /// printable, spaces and backslashes are escaped as in Rust. Equal trees give equal texts, but
    /// for the content of files.
    ///
    /// # Errors
    /// That of `out`.
    pub fn dump(&self, out: &mut dyn Write) -> io::Result<()> {
        for visit in self.walk() {
            let node = visit.node;
            let path = match &visit.path[..] {
                [] => ".".to_owned(),
                path => plain(path),
            };
            if let Some(first) = &visit.first {
                writeln!(out, "h - - - - {path} -> {}", plain(first))?;
                continue;
            }
            let (letter, detail, to) = match node.thing() {
                Thing::Folder => ('d', None, None),
                Thing::File { size } => ('f', Some(size.to_string()), None),
                Thing::Symlink(text) => ('l', None, Some(text)),
                Thing::Character(it) => ('c', Some(format!("{}:{}", it.major, it.minor)), None),
                Thing::Block(it) => ('b', Some(format!("{}:{}", it.major, it.minor)), None),
                Thing::Fifo => ('p', None, None),
                Thing::Socket => ('s', None, None),
            };
            let mode = if to.is_some() { 0o777 } else { node.mode() };
            let (uid, gid, time) = (node.uid(), node.gid(), node.mtime());
            let detail = detail.as_deref().unwrap_or("-");
            let mut line = format!(
                "{letter} {mode:04o} {uid}:{gid} {}.{:09} {detail} {path}",
                time.seconds, time.nanos
            );
            if let Some(text) = to {
                line.push_str(" -> ");
                line.push_str(&plain(text));
            }
            for (name, value) in node.xattrs() {
                line.push_str(&format!(" {}=", plain(name)));
                for byte in value {
                    let _ = write!(line, "{byte:02x}");
                }
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

fn plain(name: &[u8]) -> String {
    name.escape_ascii().to_string().replace(' ', "\\x20")
}
