//! catalog × net × cache = ensure.
//!
//! A [`Fetcher`] turns a [`Request`] into a verified [`Entry`](crate::cache::Entry). It asks the
//! sources of a request in order: the user's mirrors, the pinned address, its alternates, the
//! mirrors of the catalog. Each attempt ends in a [`Verdict`], and only the hash decides: an error
//! page, a vanished file or other bytes are merely reasons to ask the next source.
//!
//! What is cached costs no socket. What was interrupted goes on where it stopped, from any source:
//! the kept bytes are hashed again, and if the whole turns out wrong, it is fetched once more from
//! the start before anyone is blamed.

mod attempt;
mod download;
mod fetcher;
mod patience;
mod request;
mod source;
mod verdict;

pub use self::download::{Ask, Download, exhausted};
pub use self::fetcher::{Fetcher, Options, Outcome, Reach};
pub use self::patience::{Patience, wait};
pub use self::request::Request;
pub use self::source::{MirrorSpec, Source};
pub use self::verdict::{Verdict, bytes, is_page};
