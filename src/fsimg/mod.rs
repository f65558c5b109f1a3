//! Images of file systems, straight from a tree in memory.
//!
//! Nothing is unpacked and nothing is mounted: a first look at the tree says where everything will
//! be, and a second one writes it, from the front to the back, with the content of files streamed
//! from wherever it is. The same tree and options give the same bytes, whatever the machine.
//!
//! What is written can be read back as a tree, by readers that take nothing on trust.

pub mod erofs;
mod listing;
pub mod vmdk;

pub use self::listing::list;
