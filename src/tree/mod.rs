//! File trees: from the entries of an archive to a directory on this machine, or to a tree in
//! memory; and the digest of either.
//!
//! ```
//! use distro_fetch::archive::{Entry, Kind, Limits, Time};
//! use distro_fetch::tree::{Policy, Writer};
//!
//! # let folder = std::env::temp_dir().join(format!("df-doc-tree-{}", std::process::id()));
//! # std::fs::create_dir(&folder)?;
//! let hello = Entry {
//!     path: b"etc/hello".to_vec(),
//!     kind: Kind::File,
//!     mode: 0o644,
//!     uid: 0,
//!     gid: 0,
//!     mtime: Time { seconds: 1_700_000_000, nanos: 0 },
//!     size: 6,
//!     xattrs: Default::default(),
//!     extents: None,
//! };
//! let target = folder.join("rootfs");
//! let mut writer = Writer::create(&target, Policy::of_this_user(), Limits::default())?;
//! writer.add(&hello, &mut b"hello\n".as_slice())?;
//! let report = writer.commit()?;
//! assert_eq!(std::fs::read(target.join("etc/hello"))?, b"hello\n");
//! assert_eq!(report.bytes, 6);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Writing
//!
//! **Nothing in an archive says where we write.** A name becomes a [`SafePath`] or an error: no
//! absolute ones, no `..`, no NUL, a limit on length and depth. That is not enough, since a
//! component may be a symbolic link by now; so the directory a thing goes to is opened beneath the
//! staging's root by a call that follows none, and the thing is made by its last component,
//! exclusively. Whoever swaps a directory for a link while we work gets an error out of us, never a
//! write elsewhere.
//!
//! **Whole or not at all.** The tree grows in a directory of mode 0700 beside the target and gets
//! its name by one rename, which replaces nothing unless asked to. To replace a tree is to exchange
//! the two names and remove the old one last. What is left of a run that was killed is swept by the
//! next one for the same target: the directory is locked as long as its process lives.
//!
//! **Durability is the caller's choice** ([`Durable`]). A tree can be made again from the verified
//! file, so that by default nothing waits for a disk, as with tar. What others will trust without
//! looking (the cache's prepared entries) asks for one `syncfs` before the rename, not for an
//! `fsync` per file.
//!
//! **One name, several entries.** The last one counts, and the report says so; but one name for a
//! directory and for something else is refused, whichever comes first. Directories merge; the last
//! one says how they are dressed. A hard link is another name of the regular file that has the
//! name at that moment, and keeps it when a later entry takes the name over.
//!
//! **The archive alone decides.** Modes are set explicitly, whatever the umask; set-group-ID and
//! default access control lists of the place are not inherited. A directory that is only implied
//! by what is in it has mode 0755, owner 0:0 and time 0; so has the root. Directories are dressed
//! last, children first. Access and change times are nobody's business.
//!
//! **What an ordinary user cannot keep is reported**, not faked: see [`Policy`] and [`Report`].
//!
//! # In memory
//!
//! A [`Tree`] is what an image writer needs: all metadata, sorted, and where content can be read. A
//! name costs 12 bytes and itself, a thing 64, however large it is: less than 100 bytes for an
//! ordinary file, in each layer and once more in what they make together. Contents stay where they
//! are: in an archive that is not compressed ([`Keep::InPlace`]), in a directory, whose files are
//! opened beneath it without following anything when they are needed, or in a [`Spool`], a file
//! without a name that goes with us. [`Stored`] says which bytes of which file they are, so that
//! they can be copied by the kernel. What is read from a directory has to be there unchanged: size
//! and time are compared.
//!
//! A tree goes to a directory ([`Tree::write_to`]) or into a tar ([`Tree::pack`]), and has a digest
//! ([`Tree::digest`]), the same as that of the entries or of the directory it came from.
//!
//! # Layers
//!
//! A [`Layer`] is such a tree with whiteouts, and [`Layer::merge`] is the one place where layers
//! are put together, whatever they came from. The rules, from the OCI image specification 1.1,
//! section "Applying Changesets", and from what umoci and Docker's overlay do where that is silent:
//!
//! - `.wh.NAME` hides what *lower* layers have of that name, and `.wh..wh..opq` all that they have
//!   in that directory, the root included. Where in its layer a mark stands means nothing. In a
//!   directory that is something else by then, or is not there, it hides nothing: it is never
//!   followed. `.wh.`, `.wh..`, `.wh...` and marks with something below them are refused.
//! - The topmost layer that has a name says what it is. A file replaces a directory, and a directory
//!   a file; directories merge, and the topmost entry of one says how it is dressed. One that no
//!   layer has an entry of is dressed as if it was implied.
//! - Something below a path that is a link or a file in a lower layer makes that a real directory,
//!   and is [noted](Merged::forced). Within one layer it is a contradiction, as in any archive.
//! - A hard link may lead to a file of lower layers, as they were before its own layer, and shares
//!   it then.
//! - Everything else is kept: attributes, capabilities, devices, pipes, the root's mode and owner.
//!
//! # The digest
//!
//! Of a directory ([`TreeDigest::of_directory`]) or of entries ([`DigestBuilder`]); the digest of
//! an archive is that of its extraction by [`Policy::everything`], if the file system can say it
//! all. It is the SHA-256 of the 20 bytes `distro-fetch tree 1\n` and one record for each name,
//! in ascending order of the paths' bytes, the root first with an empty path. Numbers are
//! little-endian; `u32` has 4 bytes, `u64` and `i64` have 8. A *field* is its length as `u64` and
//! its bytes. A record is its length as `u64`, not counting that, and:
//!
//! | part | content |
//! |---|---|
//! | path | field: components joined by `/`, from the root |
//! | type | one byte: `d` directory, `f` file, `l` symbolic link, `c` and `b` devices, `p` named pipe, `s` socket, `h` another name of what had a record before |
//! | mode | `u32`, 12 bits; 0777 for symbolic links |
//! | uid, gid | `u64` each |
//! | mtime | `i64` seconds, rounded down, and `u32` nanoseconds |
//! | xattrs | `u64` their number, then for each, in ascending order of names, name and value as fields |
//! | `f` | `u64` size, 32 bytes SHA-256 of the content, holes as zeros |
//! | `l` | field: the text |
//! | `c`, `b` | `u32` major, `u32` minor |
//!
//! After `h` there is only one field: the path of the first name in that order. Where holes are,
//! link counts, inode numbers, sizes of directories and other times do not count.
//!
//! Attributes that count: `user.*`, `trusted.*`, `security.*`, `system.posix_acl_access` and
//! `system.posix_acl_default`. Others of `system.*` are views that a file system gives of its own.
//! Of `security.*`, what the kernel adds by itself does not count, in archives neither:
//! `security.selinux`, `security.SMACK64*`, `security.apparmor*`, `security.ima`, `security.evm`.
//! Only root sees `trusted.*`, and can read everything: a digest that is to be compared with an
//! archive's is made by root.

mod addition;
mod builder;
mod content;
mod digest;
mod dress;
mod folders;
mod grow;
mod ids;
mod layer;
mod merge;
mod node;
mod overlay;
mod path;
mod policy;
mod record;
mod report;
mod scan;
mod shares;
mod source;
mod spool;
mod store;
mod sum;
mod survey;
mod target;
mod walk;
mod whiteout;
mod writer;

pub use self::addition::Addition;
pub use self::digest::{DigestBuilder, TreeDigest};
pub use self::dress::Dress;
pub use self::grow::Grower;
pub use self::ids::{IdMap, IdRange};
pub use self::layer::{Dialect, Keep, Layer};
pub use self::merge::{Forced, Merged};
pub use self::node::{Node, NodeId, Thing, Tree, XattrSet};
pub use self::path::SafePath;
pub use self::policy::{Devices, Owners, Policy, Replace, SetIds, Xattrs};
pub use self::report::{Loss, Report};
pub use self::scan::Flavor;
pub use self::source::{Piece, Source, Stored, Window};
pub use self::spool::Spool;
pub use self::walk::{Visit, Walk};
pub use self::writer::Writer;
pub use crate::sys::Durable;
