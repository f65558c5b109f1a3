//! Mirrors: pins that outlive upstream.
//!
//! A [`Keeper`] makes a directory of the pins of a catalog that any static server can serve:
//!
//! ```text
//! DIR/
//! ├── alpine/v3.20/releases/x86_64/…tar.gz     each file at the path of its upstream URL
//! ├── images/<os>/<release>/<arch>/<variant>/<serial>/
//! │   ├── rootfs.tar.xz                        upstream's own path, or a second name of the file
//! │   ├── incus.tar.xz                         made here: what Incus wants to know of an image
//! │   └── SHA256SUMS
//! ├── streams/v1/{index,images}.json           what Incus and LXD ask for
//! ├── blobs/sha256/<hex>                       a second name of each file, if wanted
//! ├── oci/                                     an OCI image layout with all container images
//! ├── index.html                               a page for people
//! └── .distro-fetch/                           the mirror's own record, and its lock
//! ```
//!
//! **Proven twice.** A file comes through the cache, which takes nothing but the pinned bytes, and
//! its copy is hashed again before it has a name. The copy shares blocks with the cache where the
//! file system can, never an inode: what happens to a mirror does not happen to the cache.
//!
//! **Files first.** What names a file is written after it, so that a mirror can be served at every
//! moment, whatever ends a run. What is there is believed while it looks as the record says, and
//! read where it does not; damage is repaired; what somebody else put there is left alone.
//!
//! **The same everywhere.** A mirror depends on its pins: times are those of the snapshots, made
//! files are functions of the catalog, and nothing else is in it.

mod containers;
mod keeper;
mod ledger;
mod metadata;
mod page;
mod place;
mod plan;
mod report;
mod retain;
mod root;
mod run;
mod serial;
mod shelf;
mod stock;
mod sums;
mod version;

pub use self::keeper::{Keeper, Options};
pub use self::report::{Failure, Mirrored, Report, State};
