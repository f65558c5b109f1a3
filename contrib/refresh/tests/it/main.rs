//! The refresher from outside: rules over tables of documents, the command on loopback, and the
//! whole catalog over the facts that `fixtures/` records.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // a panic is a failed test
#![allow(clippy::disallowed_macros)] // the fence is around src

mod checksums;
mod command;
mod facts;
mod mirror;
mod person;
mod replay;
mod rules;
#[path = "../../../../tests/it/server.rs"]
#[allow(dead_code)] // the library's tests need more of it
mod server;
mod streams;
mod sums;
mod table;
mod void;
mod world;
