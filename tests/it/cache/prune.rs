//! What may go, and what never goes (HOSTILE 78, 79).

use std::fs;
use std::time::{Duration, SystemTime};

use distro_fetch::cache::{Cache, Key, PruneOptions, PrunedKind, Rehash};

use super::kit::{edit_record, key, lock, look, put};
use crate::harness::{Lab, noise};

/// A cache with four snapshots of one image (sizes 1000 to 4000) and one of another.
fn stocked(lab: &Lab) -> (Cache, Vec<Key>) {
    let cache = Cache::at(lab.cache()).unwrap();
    let mut keys = Vec::new();
    for month in 1..=4u32 {
        let bytes = noise(month as usize * 1000);
        // Ten is more than nine: serials sort as numbers.
        let key = key("alpine-3.21", &format!("2026{:02}01", month + 7), &bytes);
        let folder = put(&cache, &key, &bytes).folder().to_owned();
        let when = format!("2026-{month:02}-01T00:00:00Z");
        edit_record(&folder, |record| record["fetched_at"] = when.into());
        keys.push(key);
    }
    let bytes = noise(7777);
    let other = key("debian-12", "20260101", &bytes);
    put(&cache, &other, &bytes);
    keys.push(other);
    (cache, keys)
}

fn pins(keys: &[Key]) -> PruneOptions {
    PruneOptions {
        pinned: keys
            .iter()
            .map(|it| (it.image.clone(), it.arch.clone(), it.sha256))
            .collect(),
        ..PruneOptions::default()
    }
}

#[test]
fn every_option_takes_what_it_says_and_a_dry_run_says_the_same() {
    type Make = fn(&[Key]) -> PruneOptions;
    // Which of the five stay.
    let cases: [(&str, Make, [bool; 5]); 9] = [
        ("nothing pinned", |_| PruneOptions::default(), [false; 5]),
        (
            "pins stay",
            |keys| pins(&keys[3..]),
            [false, false, false, true, true],
        ),
        (
            "all",
            |keys| PruneOptions {
                all: true,
                ..pins(keys)
            },
            [false; 5],
        ),
        (
            "keep 1",
            |_| PruneOptions {
                keep: 1,
                ..pins(&[])
            },
            [false, false, false, true, true],
        ),
        (
            "keep 3",
            |_| PruneOptions {
                keep: 3,
                ..pins(&[])
            },
            [false, true, true, true, true],
        ),
        (
            "keep 2, all",
            |keys| PruneOptions {
                keep: 2,
                all: true,
                ..pins(keys)
            },
            [false, false, true, true, true],
        ),
        (
            "max size 0",
            |_| PruneOptions {
                max_size: Some(0),
                ..pins(&[])
            },
            [false; 5],
        ),
        (
            "max size: oldest first, only as many as need be",
            |_| PruneOptions {
                max_size: Some(15_000),
                ..pins(&[])
            },
            [false, false, true, true, true],
        ),
        (
            "max size: never a pin",
            |keys| PruneOptions {
                max_size: Some(1),
                ..pins(&keys[..2])
            },
            [true, true, false, false, false],
        ),
    ];
    for (what, make, stay) in cases {
        let lab = Lab::new();
        let (cache, keys) = stocked(&lab);
        let options = make(&keys);
        let dry = PruneOptions {
            dry_run: true,
            ..options.clone()
        };
        let before = lab.cached_files();
        let said = cache.prune(&dry).unwrap();
        assert_eq!(lab.cached_files(), before, "{what}: a dry run");
        assert_eq!(
            cache.prune(&options).unwrap(),
            said,
            "{what}: dry run and run"
        );
        let there: Vec<bool> = keys
            .iter()
            .map(|it| look(&cache, it, Rehash::Always) == "hit")
            .collect();
        assert_eq!(there, stay, "{what}");
        assert_eq!(
            lab.cached_files().len(),
            2 * stay.iter().filter(|it| **it).count(),
            "{what}"
        );
        assert_eq!(cache.prune(&options).unwrap(), [], "{what}: idempotent");
    }
}

#[test]
fn what_a_reader_holds_stays_and_is_said_to_be_in_use() {
    let lab = Lab::new();
    let (cache, keys) = stocked(&lab);
    let bytes = noise(1000);
    let held = put(&cache, &keys[0], &bytes);
    let options = PruneOptions {
        all: true,
        ..PruneOptions::default()
    };
    let dry = PruneOptions {
        dry_run: true,
        ..options.clone()
    };
    let said = cache.prune(&dry).unwrap();
    let pruned = cache.prune(&options).unwrap();
    assert_eq!(said, pruned);
    let in_use: Vec<_> = pruned
        .iter()
        .filter(|it| it.kind == PrunedKind::InUse)
        .collect();
    assert_eq!(in_use.len(), 1);
    assert_eq!(in_use[0].path, held.folder());
    assert_eq!(fs::read(held.path()).unwrap(), bytes);
    assert!(!cache.remove(held.folder()).unwrap());
    drop(held);
    assert_eq!(cache.prune(&options).unwrap().len(), 1);
    assert_eq!(lab.cached_files(), [] as [&str; 0]);
    assert_eq!(
        fs::read_dir(lab.cache().join("v1/images")).unwrap().count(),
        0
    );
}

#[test]
fn the_callers_own_bytes_stay_unless_all_go() {
    let (lab, bytes) = (Lab::new(), noise(300));
    let cache = Cache::at(lab.cache()).unwrap();
    let url = "https://upstream.example/own.img".parse().unwrap();
    let own = Key::by_hash(&url, crate::harness::sha256(&bytes), None);
    put(&cache, &own, &bytes);
    assert_eq!(cache.prune(&PruneOptions::default()).unwrap(), []);
    let all = PruneOptions {
        all: true,
        ..PruneOptions::default()
    };
    assert_eq!(cache.prune(&all).unwrap().len(), 1);
}

#[test]
fn leftovers_go_and_files_that_we_do_not_know_stay() {
    let lab = Lab::new();
    let (cache, keys) = stocked(&lab);
    let root = lab.cache().join("v1");
    let digest = "cd".repeat(32);
    let suffix = "4711-0123456789abcdef";
    let arch = "images/debian-12/amd64";
    fs::create_dir_all(root.join("quarantine")).unwrap();
    let ours = [
        format!("partial/{digest}.part"),
        format!("partial/{digest}.json"),
        format!("partial/{digest}.{suffix}.part"),
        format!("{arch}/.tmp-{suffix}/rootfs.tar.xz"),
        format!("quarantine/debian-12_amd64_x.{suffix}/entry.json"),
        format!("CACHEDIR.TAG.{suffix}.tmp"),
    ];
    let foreign = [
        "README",
        "partial/notes.txt",
        &format!("partial/{digest}.txt"),
        &format!("partial/{digest}.mine.part"),
        "partial/sub/file",
        &format!("{arch}/notes.txt"),
        &format!("{arch}/.tmp-mine/file"),
        &format!("{arch}/.hidden"),
        "images/notes.txt",
        "images/debian-12/notes/deep/file",
        "quarantine/mine",
        "locks/mine",
        "elsewhere/file",
    ];
    let long_ago = SystemTime::now() - Duration::from_hours(900 * 24);
    for name in ours.iter().map(String::as_str).chain(foreign) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        for path in [path.as_path(), path.parent().unwrap()] {
            fs::File::open(path)
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
        }
    }
    let sound: Vec<_> = cache
        .survey(Rehash::IfTouched)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        sound.len(),
        5,
        "foreign files are not damaged entries: {sound:?}"
    );
    drop(sound);
    for options in [
        pins(&keys),
        PruneOptions {
            all: true,
            ..PruneOptions::default()
        },
    ] {
        cache.prune(&options).unwrap();
        for name in &ours {
            assert!(!root.join(name).exists(), "{name} is ours and old");
        }
        for name in foreign {
            assert!(root.join(name).exists(), "{name} is not ours");
        }
    }
}

#[test]
fn a_download_that_runs_is_not_swept() {
    let (lab, bytes) = (Lab::new(), noise(300));
    let cache = Cache::at(lab.cache()).unwrap();
    let digest = crate::harness::sha256(&bytes);
    let held = lock(&cache, &digest);
    let mut partial = cache.partial(&digest, &held).unwrap();
    partial.append(b"half").unwrap();
    let all = PruneOptions {
        all: true,
        ..PruneOptions::default()
    };
    assert_eq!(cache.prune(&all).unwrap(), []);
    assert!(partial.path().exists());
    drop(held);
    assert_eq!(cache.prune(&all).unwrap()[0].kind, PrunedKind::Partial);
    assert!(!partial.path().exists());
}

#[test]
fn whoever_only_asks_whether_an_entry_is_in_use_makes_no_reader_miss() {
    let lab = Lab::new();
    let (cache, keys) = stocked(&lab);
    let record = fs::File::open(cache.folder_of(&keys[0]).join("entry.json")).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // What a dry run does for a moment, half of the time.
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                record.lock().unwrap();
                std::thread::sleep(Duration::from_micros(500));
                record.unlock().unwrap();
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        let looked: Vec<_> = (0..300)
            .map(|_| look(&cache, &keys[0], Rehash::IfTouched))
            .collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(looked.iter().all(|it| it == "hit"));
    });
}
