//! A folder of images becomes a simplestreams server.
//!
//! [`Publisher`] looks through `ROOT/images/OS/RELEASE/ARCH/VARIANT/SERIAL/`, hashes what it has not
//! hashed before, and writes `ROOT/streams/v1/images.json` and `index.json`, which is all that Incus
//! and LXD need of a static server.

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
