//! Simplestreams documents: `streams/v1/index.json` and the products documents that it names.
//!
//! Reading is typed, borrows from the document and keeps only the products that are asked for, so
//! that the parser, not the data model, is the price. What is kept is judged: a key stands once,
//! a size is a whole number, a hash has its length, a path stays below its server. The format has
//! no written standard; it is what simplestreams' Python tools, LXD and Incus agree on (`FORMAT`
//! in the sources of simplestreams; `shared/simplestreams` in those of Incus).
//!
//! With the feature `publish`, `publish` writes such documents over a folder of images.

mod json;
mod path;
#[cfg(feature = "publish")]
pub mod publish;
mod read;

pub use self::path::{relative_path, server_base};
pub use self::read::{Combined, Index, Item, Product, Products, Stream, Version};
