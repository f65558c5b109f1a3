//! Owners for use inside user namespaces.

use crate::error::{Error, Kind, Result};

/// A run of ids: `count` of them, from `inside` in the archive to `outside` on this machine. The
/// three columns of `/proc/self/uid_map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id as the archive, and later the container, has it.
    pub inside: u32,
    /// First id as this machine has it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Which id of this machine stands for an id of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap(Vec<IdRange>);

impl IdMap {
    /// A map of these ranges.
    ///
    /// # Errors
    /// [`Kind::Local`] if there is none, one is empty or runs past the last id, or two overlap,
    /// inside or outside: a map that is not one to one would give two users the same files.
    pub fn new(ranges: Vec<IdRange>) -> Result<Self> {
        let refuse = |why: String| Err(Error::new(Kind::Local, format!("id ranges: {why}")));
        if ranges.is_empty() {
            return refuse("there are none".to_owned());
        }
        for (at, range) in ranges.iter().enumerate() {
            let IdRange {
                inside,
                outside,
                count,
            } = *range;
            // The last id of 32 bits means "leave it as it is" to the kernel.
            let fits = |first: u32| first.checked_add(count).is_some();
            if count == 0 || !fits(inside) || !fits(outside) {
                return refuse(format!("{inside} {outside} {count} is not a range"));
            }
            let overlap = |a: u32, b: u32, other: u32| a < b + other && b < a + count;
            for other in &ranges[..at] {
                if overlap(inside, other.inside, other.count)
                    || overlap(outside, other.outside, other.count)
                {
                    return refuse(format!(
                        "{inside} {outside} {count} overlaps {} {} {}",
                        other.inside, other.outside, other.count
                    ));
                }
            }
        }
        Ok(Self(ranges))
    }

    /// All ids moved by `first`: 0 becomes `first`, `count` of them.
    ///
    /// # Errors
    /// [`Kind::Local`] as [`new`](Self::new).
    pub fn shifted(first: u32, count: u32) -> Result<Self> {
        Self::new(vec![IdRange {
            inside: 0,
            outside: first,
            count,
        }])
    }

    /// What `/etc/subuid` (or `/etc/subgid`) grants: id 0 is `own`, and the ranges of the user
    /// follow from id 1, in the order of the file. This is the map that `newuidmap` is asked for
    /// by every rootless container engine. `user` and `uid` are how lines may name the user;
    /// groups files name users, too. Lines that are malformed grant nothing.
    ///
    /// # Errors
    /// [`Kind::Local`] if the file has no range for the user, or ranges that overlap.
    pub fn from_subids(text: &str, user: &str, uid: u32, own: u32) -> Result<Self> {
        let number = uid.to_string();
        let mut ranges = vec![IdRange {
            inside: 0,
            outside: own,
            count: 1,
        }];
        let mut inside = 1_u32;
        for line in text.lines() {
            let mut columns = line.trim().split(':');
            let (Some(name), Some(first), Some(count), None) = (
                columns.next(),
                columns.next(),
                columns.next(),
                columns.next(),
            ) else {
                continue;
            };
            if name != user && name != number {
                continue;
            }
            let (Ok(outside), Ok(count)) = (first.parse(), count.parse::<u32>()) else {
                continue;
            };
            if count == 0 {
                continue;
            }
            ranges.push(IdRange {
                inside,
                outside,
                count,
            });
            let Some(next) = inside.checked_add(count) else {
                break;
            };
            inside = next;
        }
        if ranges.len() == 1 {
            let message = format!("no range of subordinate ids for {user} ({uid})");
            return Err(Error::new(Kind::Local, message));
        }
        Self::new(ranges)
    }

    /// The id on this machine.
    pub fn map(&self, id: u64) -> Option<u32> {
        let id = u32::try_from(id).ok()?;
        self.0.iter().find_map(|range| {
            let offset = id.checked_sub(range.inside)?;
            (offset < range.count).then(|| range.outside + offset)
        })
    }

    /// The ranges, as they go to `newuidmap`.
    pub fn ranges(&self) -> &[IdRange] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_follow_ones_own() {
        let text = "other:1:5\nme:100000:65536\n# me:1\nme:x:1\n1000:300000:10\nme:5:0\n";
        let map = IdMap::from_subids(text, "me", 1000, 1000).unwrap();
        for (inside, outside) in [
            (0, Some(1000)),
            (1, Some(100_000)),
            (65536, Some(165_535)),
            (65537, Some(300_000)),
            (65546, Some(300_009)),
            (65547, None),
            (u64::from(u32::MAX) + 1, None),
            (u64::MAX, None),
        ] {
            assert_eq!(map.map(inside), outside, "{inside}");
        }
        assert!(IdMap::from_subids(text, "nobody", 7, 7).is_err());
        // A range that holds our own id would give it two names.
        assert!(IdMap::from_subids("me:990:100", "me", 1000, 1000).is_err());
    }

    #[test]
    fn a_map_is_one_to_one() {
        assert_eq!(
            IdMap::shifted(100_000, 65536).unwrap().map(33),
            Some(100_033)
        );
        assert_eq!(IdMap::shifted(100_000, 65536).unwrap().map(65536), None);
        assert!(IdMap::shifted(100_000, 0).is_err());
        assert!(IdMap::shifted(u32::MAX - 3, 4).is_err());
        assert!(IdMap::new(vec![]).is_err());
        let range = |inside, outside, count| IdRange {
            inside,
            outside,
            count,
        };
        assert!(IdMap::new(vec![range(0, 10, 5), range(4, 100, 5)]).is_err());
        assert!(IdMap::new(vec![range(0, 10, 5), range(5, 14, 5)]).is_err());
        assert!(IdMap::new(vec![range(0, 10, 5), range(5, 15, 5)]).is_ok());
    }
}
