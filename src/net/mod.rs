//! How bytes are asked for: `https`, `http` and `file`, blocking.
//!
//! A [`Client`] answers one question: "what does this address say, from this offset on?" It
//! follows redirects itself, because what matters is at the hops: never from https to http, never
//! a password to another host. It judges nothing about content; a status is data, not an error.
//!
//! Made on first use: a cached image opens no socket and loads no certificate.

mod authorization;
mod client;
mod config;
mod failure;
mod local;
mod proxy;
mod response;

pub(crate) use self::authorization::decode_base64;
pub use self::client::{Client, Headers, Range};
pub use self::config::{Config, Timeouts};
pub use self::failure::{Failure, Retry};
pub use self::proxy::{NoProxy, Proxies};
pub use self::response::{ContentRange, Response, RetryAfter, Unread};
