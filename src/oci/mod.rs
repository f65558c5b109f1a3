//! What a registry says about a container image: manifests, and lists of them by platform.
//!
//! A [`Registry`] speaks the read side of the OCI distribution specification, as anybody may: it
//! fetches a manifest by tag or digest, and asks for an anonymous token where it is told to. What
//! comes is judged before it is believed: its size has a limit, and its digest is always made anew
//! from the bytes. An [`Index`] is what a list of platforms says, with every value a type.
//!
//! A tag says what is there today; only a digest is a pin.

mod challenge;
mod config;
mod credentials;
mod fields;
mod helper;
mod index;
mod manifest;
mod name;
mod parts;
mod platform;
mod pull;
mod registry;
mod resolve;
mod store;
mod sweep;
mod task;
mod token;

pub use self::config::ImageConfig;
pub use self::credentials::{Credentials, Login};
pub use self::index::{Descriptor, Index, is_index};
pub use self::manifest::{ImageManifest, Packing, is_manifest};
pub use self::name::{ImageReference, Reference, Repository};
pub use self::platform::Platform;
pub use self::pull::{PullOptions, PullPolicy, Pulled, Puller};
pub use self::registry::{Manifest, Registry};
pub use self::store::{Store, StoredImage};
pub use self::sweep::CheckedImage;
