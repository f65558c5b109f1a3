//! What the catalog holds, and how a name finds its pin.
//!
//! The catalog is data: `catalog.json`, reviewed as JSON, compiled by `build.rs` into two static
//! slices. [`Catalog::embedded`] is a view of them that costs nothing; [`Catalog::parse`] reads
//! another file of the same schema at run time. Both are the same type, so nothing above this
//! room knows which one it has.
//!
//! Bytes never come from here, only what they must hash to.
//!
//! ```
//! use distro_fetch::Arch;
//! use distro_fetch::catalog::Catalog;
//!
//! let catalog = Catalog::embedded();
//! let image = catalog.find("alpine:3.21")?;
//! let pin = image.pin(Arch::Amd64).expect("pinned");
//! println!("{} {} {}", image.name, pin.snapshot, pin.sha256);
//! # Ok::<(), distro_fetch::Error>(())
//! ```

mod glob;
mod outlook;
mod query;
pub mod schema;
mod table;

pub use self::glob::matches_glob;
pub use self::outlook::Outlook;
pub use self::query::{Reference, pinned, pinned_image};
pub use self::schema::{
    Address, Catalog, Fault, Image, Kind, Mirror, Origin, Pin, Retention, Rules, Source,
    SourceType, Trust,
};
