//! The program, killed and lied to at every system call, on full and on read-only disks.
//!
//! strace plays the kernel's part: it kills at the n-th call, or answers it with an error. Where
//! strace cannot work a test says so, and fails where CI promises that it can.

mod bench;
mod errors;
mod kill;
mod mounts;
mod order;
mod sockets;
pub(crate) mod strace;
