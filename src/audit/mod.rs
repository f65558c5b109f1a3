//! Which pins still live upstream, and where.
//!
//! A pin rots without a sound: upstream deletes a snapshot, a mirror serves other bytes, and nobody
//! knows before a cache is empty. An [`Auditor`] asks every source of every pin, not only the first
//! that answers, and says of each what [`Life`] is in it. At a [glance](Depth::Glance) that costs
//! one small request: status, size and first bytes tell a file from its absence, from an error page
//! and from another file. Only [reading it whole](Depth::Whole) proves anything, by the hash.
//!
//! It keeps nothing and has no cache: an audit changes nothing anywhere. It is polite: however many
//! jobs there are, a host is asked two things at a time.

mod auditor;
mod deep;
mod glance;
mod life;
mod magic;
mod queue;

pub use self::auditor::{Auditor, Depth, Options};
pub use self::life::{Finding, Life, Report};
