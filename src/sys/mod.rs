//! The sharp edges of the operating system, each in one place.
//!
//! Renames, locks, links, reflinks, ownership, free space: what can go wrong halfway, differs
//! between file systems, or must be followed by an `fsync` to mean anything. The rest of the
//! crate does not call these directly (clippy.toml says so), so that the order of
//! "write, sync, rename, sync the directory" is written down once.

mod beneath;
mod clock;
mod draft;
mod folder;
#[cfg(any(feature = "fetch", feature = "publish"))]
mod lock;
mod node;
mod place;
mod range;
mod regular;
mod sparse;
mod staging;
mod sweep;
mod xattr;

pub use self::beneath::{Beneath, open_beneath, open_by_steps};
pub use self::clock::{jitter, now};
pub use self::draft::{Draft, Overwrite};
pub use self::folder::{
    available_space, check_private, clear_away, create_private, exists, is_in_user_namespace,
    is_root, mount_error, names, open_folder, user_namespace_map,
};
#[cfg(any(feature = "fetch", feature = "publish"))]
pub use self::lock::{FileLock, Locked};
pub use self::node::{
    DeviceKind, FileKind, Node, Seen, link_text, look, look_closely, make_device, make_fifo,
    make_file, make_folder, make_link, make_public_folder, make_symlink, names_of, own_path,
    stored_bytes, unlink,
};
pub use self::place::{
    copy_or_reflink, is_unique_suffix, link, remove_file_if_any, rename_noreplace, rename_over,
    sync_folder, unique_suffix, write_durably, write_durably_with,
};
pub use self::range::{copy_run, data_runs, open_within, unnamed_file};
pub use self::regular::{
    Stamp, create_exclusive, create_public, has_other_names, is_at, is_damage, open_append,
    open_regular, open_regular_through_links, seal, start_writeback, unseal,
};
pub use self::sparse::{copy_range, next_data, share, shares_blocks};
pub use self::staging::{Before, Durable, Staging};
pub use self::sweep::{is_retired, remove_tree, retire_tree};
pub use self::xattr::{is_unkept, remove_xattr, set_xattr, xattr_names, xattr_value};
