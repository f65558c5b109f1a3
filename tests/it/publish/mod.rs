//! A folder of images becomes a simplestreams server.

mod hostile;
mod imports;
mod index;
mod kit;
mod problems;
mod retention;
mod reuse;
mod truth;
