//! What a candidate may do to a pin: the rules of a refresh, one by one.

use distro_fetch::base::Date;
use distro_fetch::catalog::{Address, Pin};
use distro_fetch::{Arch, Digest};

use crate::ask::{Hashes, Problem, Trouble};
use crate::source::{Candidate, age_order};

/// What a candidate means for a pin, before its bytes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The same snapshot, the same bytes.
    None,
    /// The first pin, or a newer one.
    New,
}

/// Compares a candidate with the pin that is there.
///
/// # Errors
/// Whatever a reviewer has to see before it happens: an older snapshot, other bytes under the
/// same one, one from the future.
pub fn judge(
    old: Option<&Pin>,
    candidate: &Candidate,
    today: Date,
    back: Older,
) -> Result<Change, Trouble> {
    let latest = today.plus_days(FUTURE);
    if let (Some(date), Some(latest)) = (candidate.snapshot.date(), latest)
        && date > latest
    {
        let why = format!("{} has not come yet", candidate.snapshot);
        return Err(Problem::Future.because(why));
    }
    let Some(old) = old else {
        return Ok(Change::New);
    };
    let order = age_order(candidate.snapshot.as_str(), old.snapshot.as_str());
    if order.is_lt() && back == Older::Refused {
        let why = format!(
            "upstream's newest is {}, older than the pinned {} (--allow-older)",
            candidate.snapshot, old.snapshot
        );
        return Err(Problem::Older.because(why));
    }
    if candidate.snapshot != old.snapshot {
        return Ok(Change::New);
    }
    let sha256 = candidate.sums.sha256;
    if let Some(sha256) = sha256
        && sha256 != old.sha256
    {
        let why = format!(
            "{} had the SHA-256 {} and has {sha256}: upstream replaced the file, or somebody did; \
             to accept it, remove the pin by hand",
            old.snapshot, old.sha256
        );
        return Err(Problem::Changed.because(why));
    }
    if let (Some(was), Some(is)) = (old.size, candidate.size)
        && was != is
    {
        let why = format!("{} had {was} bytes and has {is}", old.snapshot);
        return Err(Problem::Changed.because(why));
    }
    // Without a SHA-256 there is nothing to hold against the pin: the bytes at another address
    // are other bytes until they are read.
    if sha256.is_none() && candidate.address != old.address {
        return Ok(Change::New);
    }
    Ok(Change::None)
}

/// Whether a pin may move to an older snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// It may not: whoever serves an old, validly signed document would roll everybody back.
    Refused,
    /// It may: upstream withdrew something.
    Allowed,
}

/// The pin that a candidate of the same snapshot leaves: what was learnt meanwhile is added.
pub fn kept(old: &Pin, candidate: &Candidate) -> Pin {
    // What a template gives comes first, what people found after it: a place that is added by
    // review stays where it is, whether the source names another one before or after.
    let mut alternates = candidate.alternates.clone();
    for url in &*old.alternates {
        if !alternates.contains(url) {
            alternates.push(url.clone());
        }
    }
    alternates.retain(|url| Some(url) != candidate.address.url());
    let size = old.size.or(candidate.size);
    Pin {
        address: candidate.address.clone(),
        alternates: alternates.into(),
        size,
        ..old.clone()
    }
}

/// The pin that a candidate makes; `None` if its SHA-256 is not known.
pub fn made(arch: Arch, candidate: &Candidate, today: Date) -> Option<Pin> {
    Some(Pin {
        arch,
        snapshot: candidate.snapshot.clone(),
        address: candidate.address.clone(),
        alternates: candidate.alternates.clone().into(),
        sha256: candidate.sums.sha256?,
        size: candidate.size,
        bumped_at: Some(today),
    })
}

/// Holds a file, as it was streamed, against everything that upstream says of it.
///
/// # Errors
/// [`Problem::Changed`]: what upstream says and what it sends are two things.
pub fn check_bytes(candidate: &Candidate, hashes: &Hashes) -> Result<Digest, Trouble> {
    let sums = &candidate.sums;
    let differs = |what: &str| {
        let snapshot = &candidate.snapshot;
        Problem::Changed.because(format!(
            "{snapshot}: the file has another {what} than upstream publishes"
        ))
    };
    if candidate.size.is_some_and(|size| size != hashes.size) {
        return Err(differs("size"));
    }
    if sums.sha256.is_some_and(|sha256| sha256 != hashes.sha256) {
        return Err(differs("SHA-256"));
    }
    if sums.sha512.is_some_and(|sha512| sha512 != hashes.sha512) {
        return Err(differs("SHA-512"));
    }
    if sums.md5.is_some_and(|md5| md5 != hashes.md5) {
        return Err(differs("MD5"));
    }
    match (&candidate.combined, hashes.combined) {
        (Some((_, published)), Some(combined)) if *published != combined => {
            Err(differs("fingerprint together with its metadata"))
        }
        _ => Ok(hashes.sha256),
    }
}

/// What two servers say of one snapshot.
///
/// # Errors
/// [`Problem::Changed`] if they contradict each other. One that lags behind does not.
pub fn agree(candidate: &Candidate, other: &Candidate, name: &str) -> Result<(), Trouble> {
    if candidate.snapshot != other.snapshot {
        return Ok(());
    }
    let (a, b) = (&candidate.sums, &other.sums);
    let differ = |x: Option<&[u8]>, y: Option<&[u8]>| x.zip(y).is_some_and(|(x, y)| x != y);
    let bytes = |it: &Option<Digest>| it.map(|it| it.as_bytes().to_vec());
    let hashes = differ(bytes(&a.sha256).as_deref(), bytes(&b.sha256).as_deref())
        || differ(
            a.sha512.as_ref().map(<[u8; 64]>::as_slice),
            b.sha512.as_ref().map(<[u8; 64]>::as_slice),
        );
    let sizes = candidate.size.zip(other.size);
    if hashes || sizes.is_some_and(|(x, y)| x != y) {
        let show = |it: &Candidate| {
            let sha256 = it.sums.sha256;
            let sha256 = sha256.map_or_else(|| "another hash".to_owned(), |it| it.to_string());
            let size = it.size;
            size.map_or_else(|| sha256.clone(), |size| format!("{sha256}, {size} bytes"))
        };
        let why = format!(
            "{}: the origin says {}, its mirror {name} {}",
            candidate.snapshot,
            show(candidate),
            show(other)
        );
        return Err(Problem::Changed.because(why));
    }
    Ok(())
}

/// Whether two addresses differ in more than numbers: then it may be another product.
pub fn is_other_place(old: &Address, new: &Address) -> bool {
    let shape = |address: &Address| {
        let text = address.to_string().replace("%3A", ":");
        let mut shape = String::new();
        for c in text.chars() {
            if !c.is_ascii_digit() {
                shape.push(c);
            } else if !shape.ends_with('0') {
                shape.push('0');
            }
        }
        shape
    };
    shape(old) != shape(new)
}

/// Whether a size changed by more than what a new build explains.
pub fn is_other_size(old: Option<u64>, new: Option<u64>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => new / 3 > old || old / 3 > new,
        _ => false,
    }
}

/// Clocks and time zones: a serial may be of tomorrow.
const FUTURE: u64 = 2;
