//! Files with holes: in chunks, of which those without data are nowhere.

use super::format::{BLOCK, INDEX};
use crate::archive::Extent;

/// Chunks that are next to each other in a file, and in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first one.
    pub(super) first: u64,
    /// How many.
    pub(super) count: u64,
    /// How many there are in runs before this one.
    pub(super) before: u64,
}

/// Smallest chunks: of one block.
pub(super) const LEAST_BITS: u8 = 12;

/// Largest chunks, of 2 GiB: kernels of 32 bits shift no further.
pub(super) const MOST_BITS: u8 = 31;

/// Which chunks of a file have data.
pub(super) fn runs(extents: &[Extent], bits: u8) -> impl Iterator<Item = Run> {
    let mut extents = extents.iter().filter(|it| it.length > 0).peekable();
    let mut before = 0;
    std::iter::from_fn(move || {
        let extent = extents.next()?;
        let first = extent.offset >> bits;
        let mut end = ((extent.offset + extent.length - 1) >> bits) + 1;
        while let Some(next) = extents.peek()
            && next.offset >> bits <= end
        {
            end = end.max(((next.offset + next.length - 1) >> bits) + 1);
            extents.next();
        }
        let run = Run {
            first,
            count: end - first,
            before,
        };
        before += run.count;
        Some(run)
    })
}

/// Bytes that a file has in chunks: those of its data, and those that say where they are.
pub(super) fn cost(extents: &[Extent], size: u64, bits: u8) -> (u64, u64) {
    let data = runs(extents, bits).fold(0, |sum, run| {
        let end = size
            .next_multiple_of(BLOCK)
            .min((run.first + run.count) << bits);
        sum + (end - (run.first << bits))
    });
    (data, count(size, bits) * INDEX)
}

/// How many chunks a file has.
pub(super) fn count(size: u64, bits: u8) -> u64 {
    size.div_ceil(1 << bits)
}

/// The chunks that make a file with holes smallest; `None` if it is not worth it.
pub(super) fn best(extents: &[Extent], size: u64) -> Option<u8> {
    let whole = size.next_multiple_of(BLOCK);
    let costs = (LEAST_BITS..=MOST_BITS).map(|bits| {
        let (data, index) = cost(extents, size, bits);
        (data.saturating_add(index), bits)
    });
    // Of equal ones the largest chunks.
    let least = costs.min_by_key(|(cost, bits)| (*cost, std::cmp::Reverse(*bits)));
    least
        .filter(|(cost, _)| *cost < whole)
        .map(|(_, bits)| bits)
}

/// The smallest chunk that has all of a file in it, or else the largest one.
pub(super) fn whole(size: u64) -> u8 {
    (LEAST_BITS..MOST_BITS)
        .find(|bits| size <= 1 << bits)
        .unwrap_or(MOST_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(of: &[(u64, u64)]) -> Vec<Extent> {
        let extent = |&(offset, length)| Extent { offset, length };
        of.iter().map(extent).collect()
    }

    #[test]
    fn neighbours_become_one_run() {
        let check = |map: &[(u64, u64)], bits, expect: &[(u64, u64, u64)]| {
            let got: Vec<_> = runs(&extents(map), bits)
                .map(|it| (it.first, it.count, it.before))
                .collect();
            assert_eq!(got, expect);
        };
        check(&[], 12, &[]);
        check(&[(0, 1)], 12, &[(0, 1, 0)]);
        check(&[(4095, 2)], 12, &[(0, 2, 0)]);
        check(&[(0, 1), (4096, 1)], 12, &[(0, 2, 0)]);
        check(&[(0, 1), (8192, 1)], 12, &[(0, 1, 0), (2, 1, 1)]);
        check(&[(0, 1), (8192, 1)], 13, &[(0, 2, 0)]);
        check(&[(0, 1), (100, 1), (200, 9000)], 12, &[(0, 3, 0)]);
    }

    #[test]
    fn chunks_are_as_large_as_is_worth_it() {
        let check = |map: &[(u64, u64)], size, expect| {
            assert_eq!(best(&extents(map), size), expect);
        };
        check(&[(0, 4096)], 4096, None);
        check(&[(0, 100)], 8192, Some(12));
        // Nothing but a hole: one chunk.
        check(&[], 8192, Some(MOST_BITS));
        check(&[], 5 << 30, Some(MOST_BITS));
        let bits = best(&extents(&[(0, 1)]), 5 << 30).unwrap();
        assert!((16..20).contains(&bits), "{bits}");
    }

    #[test]
    fn one_chunk_holds_most_files() {
        for (size, bits) in [(1, 12), (4096, 12), (4097, 13), (5 << 30, 31)] {
            assert_eq!(whole(size), bits);
        }
    }
}
