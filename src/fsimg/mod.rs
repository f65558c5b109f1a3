//! File-system images: a tree becomes one file that a kernel mounts.
//!
//! Nothing is unpacked and nothing mounted: an image is planned from the tree's metadata, which
//! says where everything will be, and then written, the content of files straight from where the
//! tree has it. So it needs no rights, and is a function of the tree and the options: the same
//! bytes on every machine, whatever the clock, the user, the umask and the number of threads.
//!
//! What a format cannot say is an error that names the path, never a smaller truth; what was left
//! out all the same, because it means nothing inside an image, is counted in the summary.
//!
//! Each format has a reader, which is as strict as those of archives: an image may come from
//! anywhere. It gives a [`Tree`](crate::tree::Tree) again, and so its digest.

pub mod erofs;
pub mod ext4;
pub mod vmdk;

mod contents;
mod crc32c;
mod listing;
mod target;
mod uuid;

pub use self::listing::list;
pub use self::uuid::Uuid;
