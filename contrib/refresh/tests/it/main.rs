//! The refresher from outside: rules over tables of documents, the command on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is a failed test

mod checksums;
mod command;
mod rules;
#[path = "../../../../tests/it/server.rs"]
#[allow(dead_code)] // the library's tests need more of it
mod server;
mod streams;
mod table;
