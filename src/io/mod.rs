//! Adaptors over `std::io`, one duty each.
//!
//! [`VerifyingReader`] is the heart: it says "end of file" only after exactly the pinned bytes,
//! and a [`Verified`] cannot be had from anywhere else. [`PacedReader`] turns a transfer that
//! merely drips into an error. [`hash`] and [`HashWriter`] are for what has no pin.

mod hash;
#[cfg(feature = "fetch")]
mod pace;
#[cfg(feature = "fetch")]
mod verify;

pub use self::hash::{HashWriter, hash};
#[cfg(feature = "fetch")]
pub use self::pace::{PacedReader, RateFloor};
#[cfg(feature = "fetch")]
pub use self::verify::{Expect, Fault, Verified, VerifyingReader};
