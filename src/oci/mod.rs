//! Container images: what a registry says about them, and how they come into the cache.
//!
//! A [`Puller`] makes of an [`ImageReference`] an image in the cache: it asks the registry what the
//! reference means, chooses by [`Platform`] where there are several, fetches what is missing,
//! several layers at once, and writes down what everything is called. The cache's [`Store`] is an
//! OCI image layout that any tool can read.
//!
//! A [`Registry`] speaks the read side of the OCI distribution specification: manifests by tag or
//! digest, blobs, and the token that it wants to see. It asks as anybody may, or with
//! [`Credentials`] where a registry asks who we are. What comes is judged before it is believed:
//! its size has a limit, and its digest is always made anew from the bytes. An [`Index`], an
//! [`ImageManifest`] and an [`ImageConfig`] are what the documents say, with every value a type.
//!
//! A tag says what is there today; only a digest is a pin.
//!
//! An [`Image`] is one whose parts are on this machine: in a [`Layout`], which may be a tar, in what
//! `docker save` writes ([`DockerArchive`]), in skopeo's directories or in those of Docker's
//! `overlay2`. A [`Loader`] makes a tree of its layers. **Hashed before parsed**: every part is read
//! to its end and compared with its digest before anything in it is looked at, and what a layer
//! unpacks to is compared with its `diff_id`. **In place**: a layer that is not compressed is never
//! copied, not even out of the tar of an archive. A [`Carrier`] writes an image as one file, whose
//! bytes depend on the image alone.

#[cfg(feature = "unpack")]
mod blob;
mod challenge;
mod config;
mod credentials;
#[cfg(feature = "unpack")]
mod dockerarchive;
mod fields;
#[cfg(feature = "unpack")]
mod image;
mod index;
#[cfg(feature = "unpack")]
mod layout;
#[cfg(feature = "unpack")]
mod load;
mod manifest;
#[cfg(feature = "unpack")]
mod member;
mod name;
#[cfg(feature = "unpack")]
mod overlay;
mod parts;
mod platform;
mod program;
mod pull;
mod registry;
mod resolve;
#[cfg(feature = "unpack")]
mod save;
mod store;
mod sweep;
mod task;
mod token;

#[cfg(feature = "unpack")]
pub use self::blob::Blob;
pub use self::config::ImageConfig;
pub use self::credentials::{Credentials, Login};
#[cfg(feature = "unpack")]
pub use self::dockerarchive::{DockerArchive, ImageArchive};
#[cfg(feature = "unpack")]
pub use self::image::{Document, Image, ImageLayer};
pub use self::index::{Descriptor, Index, is_index};
#[cfg(feature = "unpack")]
pub use self::layout::{Layout, open_skopeo_folder};
#[cfg(feature = "unpack")]
pub use self::load::{Loader, Trust};
pub use self::manifest::{ImageManifest, Packing, is_manifest};
pub use self::name::{ImageReference, Reference, Repository};
#[cfg(feature = "unpack")]
pub use self::overlay::{is_overlay_folder, open_overlay_folder};
pub use self::platform::Platform;
pub use self::pull::{PullOptions, PullPolicy, Pulled, Puller};
pub use self::registry::{Manifest, Registry};
#[cfg(feature = "unpack")]
pub use self::save::{Cargo, Carrier};
pub use self::store::{Store, StoredImage};
pub use self::sweep::CheckedImage;
