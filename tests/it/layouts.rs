//! Images on this machine: layouts, archives, skopeo's and Docker's directories.

mod archives;
mod choice;
mod command;
mod integrity;
pub(crate) mod kit;
mod outputs;
mod overlay;
mod real;
