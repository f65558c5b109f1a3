//! Clocks that jump (HOSTILE 77). What is faked is what the clock once wrote.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use distro_fetch::cache::{Cache, PruneOptions, PrunedKind, Rehash};

use super::kit::{edit_record, key, look, put};
use crate::harness::{Lab, noise};

const YEAR: Duration = Duration::from_hours(365 * 24);

fn set_time(path: &Path, time: SystemTime) {
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

fn kinds(cache: &Cache, options: &PruneOptions) -> Vec<PrunedKind> {
    cache
        .prune(options)
        .unwrap()
        .into_iter()
        .map(|it| it.kind)
        .collect()
}

#[test]
fn an_entry_from_the_future_is_young_and_one_from_the_past_is_old() {
    let older_than = |age| PruneOptions {
        older_than: Some(age),
        ..PruneOptions::default()
    };
    for (fetched_at, age, goes) in [
        ("2076-01-01T00:00:00Z", Duration::from_secs(1), false),
        ("9999-12-31T23:59:59Z", Duration::from_secs(1), false),
        ("2016-01-01T00:00:00Z", 20 * YEAR, false),
        ("2016-01-01T00:00:00Z", YEAR, true),
        ("1970-01-01T00:00:00Z", YEAR, true),
    ] {
        let (lab, bytes) = (Lab::new(), noise(500));
        let cache = Cache::at(lab.cache()).unwrap();
        let key = key("alpine-3.21", "20260101", &bytes);
        let folder = put(&cache, &key, &bytes).folder().to_owned();
        edit_record(&folder, |record| record["fetched_at"] = fetched_at.into());
        assert_eq!(look(&cache, &key, Rehash::IfTouched), "hit", "{fetched_at}");
        let expect = if goes {
            vec![PrunedKind::Entry]
        } else {
            Vec::new()
        };
        assert_eq!(
            kinds(&cache, &older_than(age)),
            expect,
            "{fetched_at} {age:?}"
        );
        assert_eq!(folder.exists(), !goes);
        // Whatever the clock says, a pin stays.
        let pinned = PruneOptions {
            pinned: [(key.image.clone(), key.arch.clone(), key.sha256)].into(),
            ..older_than(Duration::ZERO)
        };
        put(&cache, &key, &bytes);
        assert_eq!(kinds(&cache, &pinned), []);
    }
}

#[test]
fn a_file_time_far_away_is_a_touch_and_nothing_worse() {
    let (lab, bytes) = (Lab::new(), noise(500));
    let cache = Cache::at(lab.cache()).unwrap();
    let key = key("alpine-3.21", "20260101", &bytes);
    let path = put(&cache, &key, &bytes).path();
    for time in [
        SystemTime::UNIX_EPOCH - 10 * YEAR,
        SystemTime::UNIX_EPOCH,
        SystemTime::now() - 10 * YEAR,
        SystemTime::now() + 50 * YEAR,
    ] {
        set_time(&path, time);
        assert_eq!(look(&cache, &key, Rehash::IfTouched), "hit", "{time:?}");
    }
}

#[test]
fn a_partial_is_swept_after_a_week_by_a_clock_that_may_jump() {
    let day = Duration::from_hours(24);
    for (time, goes) in [
        (SystemTime::now(), false),
        (SystemTime::now() - 6 * day, false),
        (SystemTime::now() - 8 * day, true),
        (SystemTime::now() - 10 * YEAR, true),
        (SystemTime::now() + 50 * YEAR, false),
        (SystemTime::UNIX_EPOCH - YEAR, true),
    ] {
        let lab = Lab::new();
        let cache = Cache::at(lab.cache()).unwrap();
        cache.prepare().unwrap();
        let name = "ab".repeat(32);
        let folder = lab.cache().join("v1/partial");
        for name in [format!("{name}.part"), format!("{name}.json")] {
            fs::write(folder.join(&name), "x").unwrap();
            set_time(&folder.join(&name), time);
        }
        let expect = if goes {
            vec![PrunedKind::Partial; 2]
        } else {
            Vec::new()
        };
        let dry = PruneOptions {
            dry_run: true,
            ..PruneOptions::default()
        };
        assert_eq!(kinds(&cache, &dry), expect, "{time:?}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "a dry run");
        assert_eq!(kinds(&cache, &PruneOptions::default()), expect, "{time:?}");
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            if goes { 0 } else { 2 }
        );
    }
}
