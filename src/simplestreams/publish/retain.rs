//! Which versions stay.
//!
//! Who reads the index may come back an hour later for a file that it names: Incus keeps an index
//! for so long. A version that the index names no more is removed only after that.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use super::product::Product;

/// What becomes of versions.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// When an index last named what it names no more, and is still there: seconds since 1970.
    pub(super) retired: BTreeMap<String, i64>,
    /// What is to be removed, sorted: nothing names it, and nothing did for an hour.
    pub(super) removed: Vec<String>,
}

/// Hides all but the newest versions of each product, and says which of the others go. `named` is
/// what the index named up to now, `retired` what an earlier one did.
pub(super) fn plan(
    products: &mut [Product],
    retain: Option<NonZeroUsize>,
    named: &BTreeSet<String>,
    retired: &BTreeMap<String, i64>,
    now: i64,
) -> Plan {
    let mut plan = Plan::default();
    for product in products {
        let count = product.builds.len();
        product.hidden = retain.map_or(0, |newest| count.saturating_sub(newest.get()));
        for build in &product.builds[..product.hidden] {
            let last = if named.contains(&build.path) {
                Some(now)
            } else {
                // A clock that was set back makes nothing young for good.
                retired.get(&build.path).map(|time| (*time).min(now))
            };
            match last {
                Some(time) if now - time < HOUR => {
                    plan.retired.insert(build.path.clone(), time);
                }
                _ => plan.removed.push(build.path.clone()),
            }
        }
    }
    plan.removed.sort();
    plan
}

/// How long a reader may trust an index: seconds.
const HOUR: i64 = 3600;
