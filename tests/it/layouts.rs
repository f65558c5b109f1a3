//! Images on this machine: layouts, archives, skopeo's and Docker's directories.

mod archives;
mod choice;
mod integrity;
mod kit;
mod overlay;
mod real;
