//! The sharp edges of the operating system, each in one place.
//!
//! Renames, locks, links, reflinks, ownership, free space: what can go wrong halfway, differs
//! between file systems, or must be followed by an `fsync` to mean anything. The rest of the
//! crate does not call these directly (clippy.toml says so), so that the order of
//! "write, sync, rename, sync the directory" is written down once.

mod clock;
mod folder;
mod lock;
mod place;
mod regular;

pub use self::clock::{jitter, now};
pub use self::folder::{
    available_space, check_private, clear_away, create_private, exists, mount_error, names,
};
pub use self::lock::{FileLock, Locked};
pub use self::place::{
    copy_or_reflink, is_unique_suffix, link, remove_file_if_any, rename_noreplace, rename_over,
    sync_folder, unique_suffix, write_durably, write_durably_with,
};
pub use self::regular::{
    Stamp, create_exclusive, create_public, has_other_names, is_at, is_damage, open_append,
    open_regular, seal, start_writeback, unseal,
};
