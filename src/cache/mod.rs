//! Verified bytes at rest.
//!
//! ```text
//! <cache>/v1/
//! ├── CACHEDIR.TAG
//! ├── images/<name>/<arch>/<stamp>-<12 hex>/    one entry: entry.json, the file, prepared/
//! ├── oci/                                      an OCI image layout: container images and their blobs
//! ├── partial/<sha256>.part                     what has arrived of a download, and its sidecar
//! ├── locks/<sha256>.lock                       who is downloading
//! └── quarantine/                               what was found damaged
//! ```
//!
//! **Whole or not at all.** A download grows in `partial/`. Once verified it is sealed, synced and
//! *linked* into a fresh directory beside its record, and that directory is renamed to the
//! entry's name, which no reader has seen before. Only then does the partial name go. A kill at
//! any point leaves either no entry and a resumable partial, or the whole entry.
//!
//! **Locks are an optimisation.** Two writers of one entry produce the same bytes, and the second
//! rename finds the name taken and keeps the first. Where locks do not work, each writer has its
//! own partial file.
//!
//! **Trust.** `entry.json` records size, modification time and inode of the file as it was when
//! its hash was right. A hit compares them and reads nothing. A file that was copied about
//! (restored from a CI cache) is hashed once and trusted again.
//!
//! **Readers.** An [`Entry`] holds a shared lock on its `entry.json`, from before anybody else can
//! see it; whoever removes an entry, or replaces its record, needs the exclusive one. No reader
//! has to write, so a read-only cache serves hits.
//!
//! **Sweeping.** Only names of our own making are judged, moved or removed. Whoever stages an
//! entry shares `locks/staging.lock`; whoever sweeps half-made ones away has it alone.

mod blob;
mod commit;
mod entry;
mod export;
mod key;
mod partial;
mod prune;
mod record;
mod store;
mod survey;

pub use self::blob::Blob;
pub use self::entry::{Entry, Lookup, Rehash};
pub use self::key::Key;
pub use self::partial::{Partial, Validator};
pub use self::prune::{PruneOptions, Pruned, PrunedKind};
pub use self::record::Record;
pub use self::store::{Cache, Waiting, WriteLock};
pub use self::survey::{Condition, Found};
pub use crate::sys::Overwrite;
