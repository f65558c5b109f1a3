//! The bytes that a tree digest is the hash of. The room's essay defines them.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::TreeDigest;
use super::dress::Dress;
use crate::archive::Device;
use crate::base::Digest;

/// What a thing is, beyond its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Folder,
    File { size: u64, sha256: [u8; 32] },
    Symlink(Vec<u8>),
    Character(Device),
    Block(Device),
    Fifo,
    Socket,
}

/// Hashes records, which must come in the order of their paths.
#[derive(Debug)]
pub(super) struct Scribe {
    hash: Sha256,
    record: Vec<u8>,
}

impl Scribe {
    pub(super) fn new() -> Self {
        let mut hash = Sha256::new();
        hash.update(MAGIC);
        Self {
            hash,
            record: Vec::new(),
        }
    }

    /// A thing under its first name.
    pub(super) fn thing(&mut self, path: &[u8], dress: &Dress, body: &Body) {
        let letter = match body {
            Body::Folder => b'd',
            Body::File { .. } => b'f',
            Body::Symlink(_) => b'l',
            Body::Character(_) => b'c',
            Body::Block(_) => b'b',
            Body::Fifo => b'p',
            Body::Socket => b's',
        };
        self.field(path);
        self.record.push(letter);
        let mode = match body {
            Body::Symlink(_) => SYMLINK_MODE,
            _ => dress.mode & 0o7777,
        };
        self.number32(mode);
        self.number(dress.uid);
        self.number(dress.gid);
        self.number(dress.mtime.seconds.cast_unsigned());
        self.number32(dress.mtime.nanos);
        let counted = |xattrs: &BTreeMap<Vec<u8>, Vec<u8>>| -> Vec<_> {
            let all = xattrs.clone().into_iter();
            all.filter(|(name, _)| counts(name)).collect()
        };
        let xattrs = counted(&dress.xattrs);
        self.number(xattrs.len() as u64);
        for (name, value) in &xattrs {
            self.field(name);
            self.field(value);
        }
        match body {
            Body::File { size, sha256 } => {
                self.number(*size);
                self.record.extend_from_slice(sha256);
            }
            Body::Symlink(text) => self.field(text),
            Body::Character(device) | Body::Block(device) => {
                self.number32(device.major);
                self.number32(device.minor);
            }
            Body::Folder | Body::Fifo | Body::Socket => {}
        }
        self.end();
    }

    /// Another name of a thing whose first one came before.
    pub(super) fn link(&mut self, path: &[u8], first: &[u8]) {
        self.field(path);
        self.record.push(b'h');
        self.field(first);
        self.end();
    }

    pub(super) fn finish(self) -> TreeDigest {
        TreeDigest::from(Digest::from_bytes(self.hash.finalize().into()))
    }

    fn end(&mut self) {
        self.hash.update((self.record.len() as u64).to_le_bytes());
        self.hash.update(&self.record);
        self.record.clear();
    }

    fn field(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.record.extend_from_slice(bytes);
    }

    fn number(&mut self, number: u64) {
        self.record.extend_from_slice(&number.to_le_bytes());
    }

    fn number32(&mut self, number: u32) {
        self.record.extend_from_slice(&number.to_le_bytes());
    }
}

/// Whether an attribute is part of a digest: what somebody put there, not what a kernel or its
/// security module adds on one machine and not on the next.
pub(super) fn counts(name: &[u8]) -> bool {
    if name.starts_with(b"system.") {
        return name == b"system.posix_acl_access" || name == b"system.posix_acl_default";
    }
    let label = LABELS.iter().any(|label| name.starts_with(label));
    !label
        && [b"user.".as_slice(), b"security.", b"trusted."]
            .iter()
            .any(|space| name.starts_with(space))
}

/// The labels of security modules, and the hashes and signatures of the integrity module.
const LABELS: [&[u8]; 5] = [
    b"security.selinux",
    b"security.SMACK64",
    b"security.apparmor",
    b"security.ima",
    b"security.evm",
];

/// Changing anything here, or above, changes every digest: then this becomes 2.
const MAGIC: &[u8] = b"distro-fetch tree 1\n";

/// What Linux says of every symbolic link.
const SYMLINK_MODE: u32 = 0o777;
