//! What goes with a version that is taken out.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use super::containers;
use super::ledger::Row;
use super::place::{BLOBS, CONTAINERS, Place};
use super::stock::Stock;
use crate::base::natural_order;
use crate::error::Result;

/// Takes out what belonged to versions that the publisher has removed: the file at its upstream
/// path, its name by its hash, its row; and all but the newest snapshots of each container image.
/// What is not in the index has no versions, and stays. Gives back what was removed, relative to
/// the root.
///
/// It finds the removed versions by their directories, so that a run that was killed in between is
/// made good by the next one.
pub(super) fn sweep(
    stock: &mut Stock<'_>,
    retain: NonZeroUsize,
    asked: &[String],
) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let gone: Vec<Row> = stock
        .ledger
        .rows
        .values()
        .filter(|row| is_gone(stock, row))
        .cloned()
        .collect();
    for row in &gone {
        stock.ledger.rows.remove(&row.key());
    }
    for row in &gone {
        let rows = || stock.ledger.rows.values();
        let path_is_free = rows().all(|other| other.place != row.place);
        let bytes_are_free = rows().all(|other| other.sha256 != row.sha256);
        if path_is_free {
            let place = Place::parse(&row.place)?;
            stock.remove(&place)?;
            removed.push(row.place.clone());
        }
        if bytes_are_free {
            stock.remove(&Place::parse(&format!("{BLOBS}/{}", row.sha256))?)?;
        }
        if let Ok(indexed) = &row.indexed {
            let below = format!("{}/", indexed.folder);
            stock
                .ledger
                .files
                .retain(|path, _| !path.starts_with(&below));
        }
    }
    removed.extend(sweep_containers(stock, retain, asked)?);
    Ok(removed)
}

fn is_gone(stock: &Stock<'_>, row: &Row) -> bool {
    let indexed = row.indexed.as_ref();
    indexed.is_ok_and(|it| !stock.shelf.root().join(&it.folder).is_dir())
}

/// The same for the layout: first its documents, then the blobs that they no longer name.
fn sweep_containers(
    stock: &mut Stock<'_>,
    retain: NonZeroUsize,
    asked: &[String],
) -> Result<Vec<String>> {
    let mut snapshots: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in stock.ledger.rows.values() {
        if row.container.is_some() {
            let image = snapshots.entry(row.image.clone()).or_default();
            image.insert(row.snapshot.clone());
        }
    }
    let mut old = BTreeSet::new();
    for (image, snapshots) in snapshots {
        let mut snapshots: Vec<String> = snapshots.into_iter().collect();
        snapshots.sort_by(|a, b| natural_order(b, a));
        old.extend(
            snapshots
                .into_iter()
                .skip(retain.get())
                .map(|it| (image.clone(), it)),
        );
    }
    let before = stock.ledger.rows.len();
    stock.ledger.rows.retain(|key, row| {
        let name = (row.image.clone(), row.snapshot.clone());
        row.container.is_none() || asked.contains(key) || !old.contains(&name)
    });
    if stock.ledger.rows.len() == before {
        return Ok(Vec::new());
    }
    containers::write_index(stock)?;
    let named = containers::named(stock)?;
    let below = format!("{CONTAINERS}/blobs/");
    let files = stock.ledger.files.keys();
    let unnamed: Vec<String> = files
        .filter(|path| path.starts_with(&below) && !named.contains(*path))
        .cloned()
        .collect();
    for path in &unnamed {
        stock.remove(&Place::parse(path)?)?;
    }
    Ok(unnamed)
}
