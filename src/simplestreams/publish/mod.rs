//! A folder of images becomes a simplestreams server.
//!
//! [`Publisher`] looks through `ROOT/images/OS/RELEASE/ARCH/VARIANT/SERIAL/`, hashes what it has not
//! hashed before, and writes `ROOT/streams/v1/images.json` and `index.json`, which is all that Incus
//! and LXD need of a static server.
//!
//! ```no_run
//! use distro_fetch::event::Silent;
//! use distro_fetch::simplestreams::publish::{Options, Publisher};
//!
//! # fn main() -> distro_fetch::Result<()> {
//! let report = Publisher::open("/srv/images")?.publish(&Options::default(), &Silent)?;
//! for problem in &report.problems {
//!     println!("left out: {}: {}", problem.path, problem.message);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The tree
//!
//! | file | item, and its ftype if that is another | on the metadata |
//! |---|---|---|
//! | `incus.tar.xz`, `lxd.tar.xz` | the same; one of them stands for both | |
//! | `root.tar.xz`, `rootfs.tar.xz`, or `.gz`, `.zst`, `.bz2` | `root.tar.xz` | `combined_rootxz_sha256`, `combined_sha256` |
//! | `root.squashfs`, `rootfs.squashfs` | `root.squashfs`: `squashfs` | `combined_squashfs_sha256` |
//! | `disk.qcow2` | `disk.qcow2`: `disk-kvm.img` | `combined_disk-kvm-img_sha256` |
//! | `delta-SERIAL.vcdiff` | `root.SERIAL.vcdiff`: `squashfs.vcdiff`, while SERIAL is listed | |
//! | `delta-SERIAL.qcow2.vcdiff` | `disk.SERIAL.qcow2.vcdiff`: `disk-kvm.img.vcdiff` | |
//! | `incus_combined.tar.gz` | the same; nothing else may be beside it | |
//!
//! Incus finds the compression of a tarball by its first bytes, so that any of them may be called
//! `root.tar.xz` in an index. Other files are nobody's business, and neither is what begins with a
//! dot, but for three files that may stand in the folder of an OS, a release, an architecture or a
//! variant: `.requirements` and `.lxd_requirements` (objects of texts) and `.product`
//! (`release_title`, `release_codename`, `version`, `support_eol`, `supported`, `aliases`). The
//! deepest one counts. What no `.product` says, the properties of the newest image's
//! `metadata.yaml` with the same names do (`codename` is `release_codename`, too): who makes the
//! metadata says it there, and it stays said.
//!
//! A product is called `OS/RELEASE/VARIANT`, and `OS/RELEASE` if its variant is `default`; the same
//! with its codename and its version in the place of the release, and what `aliases` says, as long
//! as no other product of its architecture is called so.
//!
//! # What is kept beside it
//!
//! `ROOT/.publish.state` has the hashes that are known and what recent indexes named (`state.rs` has
//! its format), `ROOT/.publish.lock` keeps two from publishing at once. Nothing is lost with either.

mod about;
mod build;
mod document;
mod hash;
mod import;
mod index;
mod item;
mod lock;
mod metadata;
mod name;
mod product;
mod publisher;
mod report;
mod retain;
mod scan;
mod state;
mod verify;

pub use self::import::{Import, Imported, Transfer};
pub use self::publisher::{Options, Publisher};
pub use self::report::{Problem, Report};
pub use self::verify::Verified;
