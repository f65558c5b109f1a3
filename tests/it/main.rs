//! All integration tests, in one binary: it links once.
//!
//! They need no network. Fixtures are built by code; tests over the real files of a `shared/`
//! folder beside the checkout run when it is there, and say so when it is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // a panic is a failed test
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // the fences are around src

#[cfg(any(feature = "fetch", feature = "unpack"))]
mod chance;
#[cfg(feature = "fetch")]
mod harness;
#[cfg(feature = "fetch")]
mod server;
#[cfg(any(feature = "cli", feature = "unpack"))]
mod shared;

mod budget;
mod build_script;
mod catalog;
mod tidy;

#[cfg(feature = "fetch")]
mod cache;
#[cfg(feature = "fetch")]
mod http;
#[cfg(feature = "unpack")]
mod layers;
#[cfg(feature = "fetch")]
mod oci;
#[cfg(feature = "fetch")]
mod tls;
#[cfg(feature = "unpack")]
mod tree;

#[cfg(feature = "unpack")]
mod archive;

#[cfg(feature = "fsimg")]
mod fsimg;

#[cfg(feature = "publish")]
mod publish;

#[cfg(feature = "cli")]
mod audit;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod concurrency;
#[cfg(feature = "cli")]
mod crash;
#[cfg(feature = "cli")]
mod disk;
#[cfg(feature = "cli")]
mod disk_vm;
#[cfg(feature = "cli")]
mod layouts;
#[cfg(feature = "cli")]
mod mirror;
#[cfg(feature = "cli")]
mod outlook;
#[cfg(feature = "cli")]
mod pull;
#[cfg(feature = "cli")]
mod real;
#[cfg(feature = "cli")]
mod unpack;
