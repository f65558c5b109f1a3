//! `SHA256SUMS` beside what it is about.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{Place, SUMS};
use super::stock::Stock;
use crate::error::Result;

/// Writes the hashes of every version's files into its directory, as `sha256sum -c` and
/// systemd's `importctl` read them.
pub(super) fn write(stock: &Stock<'_>) -> Result<()> {
    let rows = stock.ledger.rows.values();
    let folders: BTreeSet<&str> = rows
        .filter_map(|row| Some(row.indexed.as_ref().ok()?.folder.as_str()))
        .collect();
    let mut sums: BTreeMap<&str, String> = BTreeMap::new();
    for (path, kept) in &stock.ledger.files {
        let Some((folder, name)) = path.rsplit_once('/') else {
            continue;
        };
        if let Some(folder) = folders.get(folder) {
            let text = sums.entry(folder).or_default();
            text.push_str(&format!("{}  {name}\n", kept.sha256));
        }
    }
    for (folder, text) in sums {
        // Retention may have taken it out.
        if stock.shelf.root().join(folder).is_dir() {
            let place = Place::parse(folder)?.join(SUMS);
            stock.shelf.write(&place, text.as_bytes())?;
        }
    }
    Ok(())
}
