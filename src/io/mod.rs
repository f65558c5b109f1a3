//! Adaptors over `std::io`, one duty each.
//!
//! [`VerifyingReader`] is the heart: it says "end of file" only after exactly the pinned bytes,
//! and a [`Verified`] cannot be had from anywhere else. [`PacedReader`] turns a transfer that
//! merely drips into an error.

mod pace;
mod verify;

pub use self::pace::{PacedReader, RateFloor};
pub use self::verify::{Expect, Fault, Verified, VerifyingReader};
