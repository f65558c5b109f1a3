//! What is believed of a file that is there, and what is noticed (HOSTILE 67 to 69, 78).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use distro_fetch::Kind;
use distro_fetch::cache::{Cache, Lookup, Rehash};

use super::kit::{edit_record, flip, flip_unseen, inode, key, lock, look, overwrite, put};
use crate::harness::{Lab, noise};

#[test]
fn one_flipped_bit_is_found_by_reading_and_not_by_looking() {
    let (lab, bytes) = (Lab::new(), noise(5000));
    let cache = Cache::at(lab.cache()).unwrap();
    let key = key("alpine-3.21", "20260101", &bytes);
    let path = put(&cache, &key, &bytes).path();
    assert_eq!(look(&cache, &key, Rehash::Always), "hit");
    flip_unseen(&path, 4321);
    assert_eq!(
        look(&cache, &key, Rehash::IfTouched),
        "hit",
        "by design: a few stats"
    );
    let why = look(&cache, &key, Rehash::Always);
    assert!(why.contains("hashes to"), "{why}");
    flip_unseen(&path, 4321);
    assert_eq!(look(&cache, &key, Rehash::Always), "hit", "and back");
}

#[test]
fn size_time_and_inode_are_noticed_without_reading() {
    type Change = fn(&Path);
    let changes: [(&str, Change, &str); 4] = [
        ("flipped, new mtime", |path| flip(path, 7), "hashes to"),
        (
            "shorter",
            |path| overwrite(path, b"short"),
            "5 bytes where 5000",
        ),
        (
            "another inode, same size and mtime",
            |path| {
                let then = fs::metadata(path).unwrap().modified().unwrap();
                let other = path.with_extension("other");
                fs::write(&other, noise(5001).split_off(1)).unwrap();
                fs::File::open(&other).unwrap().set_modified(then).unwrap();
                fs::rename(&other, path).unwrap();
            },
            "hashes to",
        ),
        (
            "gone",
            |path| fs::remove_file(path).unwrap(),
            "No such file",
        ),
    ];
    for (what, change, expect) in changes {
        let (lab, bytes) = (Lab::new(), noise(5000));
        let cache = Cache::at(lab.cache()).unwrap();
        let key = key("alpine-3.21", "20260101", &bytes);
        let path = put(&cache, &key, &bytes).path();
        change(&path);
        let why = look(&cache, &key, Rehash::IfTouched);
        assert!(why.contains(expect), "{what}: {why}");
    }
}

#[test]
fn what_is_no_regular_file_of_ours_is_never_served() {
    type Swap = fn(&Path, &Path);
    let swaps: [(&str, Swap); 6] = [
        ("symlink to the right bytes", |path, same| {
            symlink(same, path).unwrap();
        }),
        ("symlink elsewhere", |path, _| {
            symlink("/etc/passwd", path).unwrap();
        }),
        ("dangling symlink", |path, _| {
            symlink("/nonexistent", path).unwrap();
        }),
        ("fifo", |path, _| {
            let status = std::process::Command::new("mkfifo")
                .arg(path)
                .status()
                .unwrap();
            assert!(status.success());
        }),
        ("directory", |path, _| fs::create_dir(path).unwrap()),
        ("hard link to another file", |path, same| {
            let other = same.with_extension("other");
            fs::write(&other, noise(5001).split_off(1)).unwrap();
            fs::hard_link(&other, path).unwrap();
        }),
    ];
    for (what, swap) in swaps {
        for part in ["rootfs.tar.xz", "entry.json"] {
            let (lab, bytes) = (Lab::new(), noise(5000));
            let cache = Cache::at(lab.cache()).unwrap();
            let key = key("alpine-3.21", "20260101", &bytes);
            let path = put(&cache, &key, &bytes).folder().join(part);
            let same = lab.path("same");
            fs::copy(&path, &same).unwrap();
            fs::remove_file(&path).unwrap();
            swap(&path, &same);
            for rehash in [Rehash::IfTouched, Rehash::Always] {
                let found = cache.lookup(&key, rehash).unwrap();
                assert!(
                    matches!(found, Lookup::Damaged(_)),
                    "{part}: {what}: {found:?}"
                );
            }
            // It can be set aside, whatever it is, and is fetched again.
            let aside =
                cache.set_aside(&cache.folder_of(&key), Some(&key.sha256), Rehash::IfTouched);
            assert!(aside.unwrap().is_some(), "{part}: {what}");
            put(&cache, &key, &bytes);
            assert_eq!(look(&cache, &key, Rehash::Always), "hit", "{part}: {what}");
        }
    }
    assert!(fs::metadata("/etc/passwd").unwrap().len() > 0);
}

#[test]
fn a_copied_cache_is_hashed_once_and_trusted_again() {
    let (lab, bytes) = (Lab::new(), noise(5000));
    let cache = Cache::at(lab.cache()).unwrap();
    let key = key("alpine-3.21", "20260101", &bytes);
    let folder = put(&cache, &key, &bytes).folder().to_owned();
    let record = || fs::read_to_string(folder.join("entry.json")).unwrap();
    let before = record();
    // As a CI cache does: new inode, new time, right bytes.
    let path = folder.join(&key.file);
    let copy = folder.join("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    assert_eq!(look(&cache, &key, Rehash::IfTouched), "hit");
    let after = record();
    assert_ne!(before, after, "the new stamp is remembered");
    // No second reading: now a bit that flips unseen is not seen.
    flip_unseen(&path, 9);
    assert_eq!(look(&cache, &key, Rehash::IfTouched), "hit");
    assert_eq!(record(), after);
}

#[test]
fn a_lease_outlives_the_new_record_of_a_copied_file() {
    let (lab, bytes) = (Lab::new(), noise(5000));
    let cache = Cache::at(lab.cache()).unwrap();
    let key = key("alpine-3.21", "20260101", &bytes);
    drop(put(&cache, &key, &bytes));
    let touch = || {
        let file = fs::File::open(cache.folder_of(&key).join(&key.file)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    };
    touch();
    let Lookup::Hit(first) = cache.lookup(&key, Rehash::IfTouched).unwrap() else {
        panic!("it is sound")
    };
    assert!(
        !cache.remove(first.folder()).unwrap(),
        "the one who wrote the record holds it"
    );
    // While it is held, another reader of a touched file leaves the record alone.
    edit_record(first.folder(), |record| record["file"]["mtime"] = 5.into());
    let held = inode(&first.folder().join("entry.json"));
    let Lookup::Hit(second) = cache.lookup(&key, Rehash::IfTouched).unwrap() else {
        panic!("it is sound")
    };
    assert_eq!(inode(&first.folder().join("entry.json")), held);
    assert!(!cache.remove(first.folder()).unwrap());
    drop(first);
    assert!(
        !cache.remove(second.folder()).unwrap(),
        "one reader is enough"
    );
    assert!(second.path().exists());
    let folder = second.folder().to_owned();
    drop(second);
    assert!(cache.remove(&folder).unwrap());
    assert!(!folder.exists());
}

#[test]
fn a_record_that_lies_is_no_entry() {
    type Edit = fn(&mut serde_json::Value);
    let (lab, bytes) = (Lab::new(), noise(5000));
    let cache = Cache::at(lab.cache()).unwrap();
    let key = key("alpine-3.21", "20260101", &bytes);
    let folder = put(&cache, &key, &bytes).folder().to_owned();
    let sound = fs::read(folder.join("entry.json")).unwrap();
    let edits: [(Edit, &str); 5] = [
        (
            |it| it["sha256"] = "00".repeat(32).into(),
            "names another hash",
        ),
        (
            |it| it["file"]["name"] = "../../../../../etc/passwd".into(),
            "cannot be read",
        ),
        (|it| it["file"]["name"] = "absent".into(), "No such file"),
        (|it| it["schema"] = 2.into(), "cannot be read"),
        (|it| it["size"] = 4999.into(), "5000 bytes where 4999"),
    ];
    for (edit, expect) in edits {
        edit_record(&folder, edit);
        let why = look(&cache, &key, Rehash::IfTouched);
        assert!(why.contains(expect), "{why}");
        fs::write(folder.join("entry.json"), &sound).unwrap();
    }
    for text in ["", "{", "[]", "null", "\u{0}\u{0}"] {
        fs::write(folder.join("entry.json"), text).unwrap();
        assert!(
            look(&cache, &key, Rehash::IfTouched).contains("cannot be read"),
            "{text:?}"
        );
    }
    fs::write(folder.join("entry.json"), &sound).unwrap();
    assert_eq!(look(&cache, &key, Rehash::Always), "hit");
}

#[test]
fn what_was_mended_meanwhile_is_not_set_aside() {
    let (lab, bytes) = (Lab::new(), noise(5000));
    let cache = Cache::at(lab.cache()).unwrap();
    let key = key("alpine-3.21", "20260101", &bytes);
    let path = put(&cache, &key, &bytes).path();
    flip(&path, 1);
    assert_ne!(look(&cache, &key, Rehash::IfTouched), "hit");
    // Two programs saw it. One is faster, and fetches again.
    let folder = cache.folder_of(&key);
    let aside = || {
        cache
            .set_aside(&folder, Some(&key.sha256), Rehash::Always)
            .unwrap()
    };
    assert!(aside().is_some());
    assert_eq!(aside(), None, "nothing is there");
    put(&cache, &key, &bytes);
    assert_eq!(aside(), None, "what is there is sound");
    assert_eq!(look(&cache, &key, Rehash::Always), "hit");
}

#[test]
fn a_cache_that_others_may_write_is_refused_with_the_remedy() {
    let lab = Lab::new();
    let base = lab.cache();
    fs::create_dir_all(base.join("v1")).unwrap();
    for (mode, below) in [
        (0o770, ""),
        (0o707, ""),
        (0o777, ""),
        (0o720, "v1"),
        (0o702, "v1"),
    ] {
        let folder = base.join(below);
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let error = Cache::at(&base).unwrap_err();
        assert_eq!(error.kind(), Kind::Local);
        assert!(
            error.to_string().contains("chmod go-w"),
            "{mode:o}: {error}"
        );
        assert!(error.path().is_some_and(|path| path.starts_with(&base)));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    for mode in [0o700, 0o755, 0o1777, 0o1770] {
        fs::set_permissions(&base, fs::Permissions::from_mode(mode)).unwrap();
        assert!(Cache::at(&base).is_ok(), "{mode:o}");
    }
    let file = lab.path("file");
    fs::write(&file, "").unwrap();
    assert!(
        Cache::at(&file)
            .unwrap_err()
            .to_string()
            .contains("not a directory")
    );
}

#[test]
fn a_partial_is_never_the_file_of_an_entry() {
    let (lab, bytes) = (Lab::new(), noise(5000));
    let cache = Cache::at(lab.cache()).unwrap();
    let key = key("alpine-3.21", "20260101", &bytes);
    let entry = put(&cache, &key, &bytes);
    let part = lab.cache().join(format!("v1/partial/{}.part", key.sha256));
    let open = || {
        let held = lock(&cache, &key.sha256);
        cache.partial(&key.sha256, &held).unwrap()
    };
    // A kill between the rename and the end of the partial name leaves both.
    fs::hard_link(entry.path(), &part).unwrap();
    let mut partial = open();
    assert_eq!(partial.length(), 0);
    partial.append(b"not an image").unwrap();
    partial.truncate(0).unwrap();
    assert_eq!(look(&cache, &key, Rehash::Always), "hit");
    drop(partial);
    // A kill after it was sealed leaves it read-only: it is still good for a resume.
    fs::write(&part, &bytes).unwrap();
    fs::set_permissions(&part, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(open().length(), 5000);
    // What is no file at all is not followed.
    fs::remove_file(&part).unwrap();
    symlink("/etc/passwd", &part).unwrap();
    assert_eq!(open().length(), 0);
    assert!(fs::symlink_metadata(&part).unwrap().is_file());
}
