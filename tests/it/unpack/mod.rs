//! `unpack`, `digest` and `ensure --as dir`, through the program.
//!
//! What an archive or an entry is, the rooms' own tests say. Here are whole trees, other programs
//! as judges, other users, a neighbourhood that must not change, and runs that end too early.

mod care;
mod corpus;
mod kill;
mod kit;
mod mapped;
mod names;
mod prepared;
mod real;
mod snapshot;
