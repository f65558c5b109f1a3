//! Container images from registries: `pull`, and what `ensure`, `show`, `verify` and `cache` do
//! about them.

mod auth;
mod hostile;
mod judges;
mod keep;
mod kill;
pub(crate) mod kit;
mod pins;
