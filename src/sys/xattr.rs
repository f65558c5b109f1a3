//! Extended attributes.
//!
//! There are no `*at` calls for them on all kernels. What cannot be opened is reached through the
//! name that the kernel gives to the descriptor of its directory.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::Node;
use super::node::own_name;

/// Sets one attribute.
pub fn set_xattr(node: Node<'_>, name: &[u8], value: &[u8]) -> io::Result<()> {
    let flags = XattrFlags::empty();
    match node {
        Node::Open(fd) => rustix::fs::fsetxattr(fd, name, value, flags)?,
        Node::Named(dir, leaf) => {
            rustix::fs::lsetxattr(path_of(dir, leaf).as_slice(), name, value, flags)?;
        }
    }
    Ok(())
}

/// Takes one attribute away; that there is none, or can be none, is fine.
pub fn remove_xattr(fd: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match rustix::fs::fremovexattr(fd, name) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The names of all attributes that we may see; none where the file system has none.
pub fn xattr_names(node: Node<'_>) -> io::Result<Vec<Vec<u8>>> {
    let list = grow(|buffer| match node {
        Node::Open(fd) => rustix::fs::flistxattr(fd, buffer),
        Node::Named(dir, leaf) => rustix::fs::llistxattr(path_of(dir, leaf).as_slice(), buffer),
    });
    let list = match list {
        Ok(list) => list,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let names = list.split(|&byte| byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

/// The value of one attribute.
pub fn xattr_value(node: Node<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(grow(|buffer| match node {
        Node::Open(fd) => rustix::fs::fgetxattr(fd, name, buffer),
        Node::Named(dir, leaf) => {
            rustix::fs::lgetxattr(path_of(dir, leaf).as_slice(), name, buffer)
        }
    })?)
}

/// Whether an error of [`set_xattr`] is about this attribute only: not for this file, this user or
/// this file system, or more than it has room for beside an inode.
pub fn is_unkept(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::ACCESS
                | Errno::INVAL
                | Errno::NOSPC
                | Errno::TOOBIG
                | Errno::RANGE
        )
    )
}

fn path_of(dir: BorrowedFd<'_>, leaf: &[u8]) -> Vec<u8> {
    let mut path = own_name(dir).into_bytes();
    path.push(b'/');
    path.extend_from_slice(leaf);
    path
}

/// Asks with a buffer that is mostly large enough, and with the kernel's maximum if it is not.
fn grow(ask: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match ask(&mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; XATTR_MAX];
            let length = ask(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}

/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX` of Linux.
const XATTR_MAX: usize = 65_536;
