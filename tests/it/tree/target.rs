//! Where a tree may appear, and how it replaces another one (HOSTILE 59, 60).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use distro_fetch::Kind;
use distro_fetch::archive::Limits;
use distro_fetch::tree::{Durable, Policy, Replace, Writer};

use super::ground::{Ground, file, folder, mode, policy, write};

fn refused(ground: &Ground, target: &Path, policy: Policy, says: &str) {
    let error = Writer::create(target, policy, Limits::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Local, "{error}");
    assert!(error.to_string().contains(says), "{says}: {error}");
    assert_eq!(ground.litter(), [] as [&str; 0]);
}

#[test]
fn what_is_there_is_not_touched_unless_asked() {
    let ground = Ground::new();
    let outside = ground.outside();
    symlink(&outside, ground.path("link")).unwrap();
    symlink("nowhere", ground.path("dangling")).unwrap();
    fs::write(ground.path("file"), "x").unwrap();
    let replacing = || Policy {
        replace: Replace::Yes,
        ..policy()
    };
    refused(&ground, &outside, policy(), "not empty");
    for asked in [policy, replacing] {
        refused(&ground, &ground.path("link"), asked(), "symbolic link");
        refused(&ground, &ground.path("dangling"), asked(), "symbolic link");
        refused(&ground, &ground.path("file"), asked(), "not a directory");
        refused(&ground, Path::new("/"), asked(), "no name");
        refused(&ground, &ground.path("absent/x"), asked(), "No such file");
    }
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"untouched");
}

#[test]
fn the_cache_is_no_place_for_a_tree() {
    let ground = Ground::new();
    fs::create_dir_all(ground.path("cache/v1")).unwrap();
    symlink("cache/v1", ground.path("way")).unwrap();
    let shut = || Policy {
        keep_out_of: vec![ground.path("cache"), ground.path("absent")],
        ..policy()
    };
    for inside in ["cache/x", "cache/v1/x", "cache/v1/../x", "way/x", "cache"] {
        refused(&ground, &ground.path(inside), shut(), "lies in");
    }
    let beside = ground.path("cache2");
    write(&beside, &[file("x", "")], shut(), Limits::default()).unwrap();
    // Asked for: the cache itself prepares trees.
    let inside = ground.path("cache/v1/tree");
    write(&inside, &[file("x", "")], policy(), Limits::default()).unwrap();
}

#[test]
fn an_empty_directory_is_filled() {
    let ground = Ground::new();
    fs::create_dir(ground.target()).unwrap();
    ground.write(&[file("x", "new")]).unwrap();
    assert_eq!(fs::read(ground.target().join("x")).unwrap(), b"new");
    assert_eq!(ground.litter(), [] as [&str; 0]);
}

#[test]
fn what_appears_meanwhile_wins() {
    for before in ["nothing", "empty"] {
        let ground = Ground::new();
        if before == "empty" {
            fs::create_dir(ground.target()).unwrap();
        }
        let mut writer = Writer::create(&ground.target(), policy(), Limits::default()).unwrap();
        writer.add(&file("x", "").0, &mut [].as_slice()).unwrap();
        fs::create_dir_all(ground.target().join("theirs")).unwrap();
        let error = writer.commit().unwrap_err();
        assert_eq!(error.kind(), Kind::Local, "{error}");
        assert!(ground.target().join("theirs").is_dir());
        assert_eq!(ground.litter(), [] as [&str; 0]);
    }
}

#[test]
fn the_old_tree_stays_until_the_new_one_is_whole() {
    let ground = Ground::new();
    let old = [
        file("old", "old"),
        file("locked/x", "old"),
        mode(folder("locked"), 0),
    ];
    ground.write(&old).unwrap();
    let replacing = Policy {
        replace: Replace::Yes,
        durable: Durable::Yes,
        ..policy()
    };
    let target = ground.target();

    // Given up: the old one has never been away.
    let mut writer = Writer::create(&target, replacing.clone(), Limits::default()).unwrap();
    writer
        .add(&file("new", "new").0, &mut b"new".as_slice())
        .unwrap();
    assert_eq!(fs::read(target.join("old")).unwrap(), b"old");
    drop(writer);
    assert_eq!(fs::read(target.join("old")).unwrap(), b"old");

    let report = write(
        &target,
        &[file("new", "new")],
        replacing.clone(),
        Limits::default(),
    );
    assert_eq!(report.unwrap().leftover, None);
    assert!(!target.join("old").exists());
    assert_eq!(fs::read(target.join("new")).unwrap(), b"new");
    assert_eq!(ground.litter(), [] as [&str; 0]);

    // Nothing to replace is fine: verbs reach their goal.
    let fresh = ground.path("fresh");
    write(&fresh, &[file("new", "new")], replacing, Limits::default()).unwrap();
}

/// A name of ours that nobody holds is litter; anything else is not.
#[test]
fn what_a_killed_run_left_is_swept_by_the_next() {
    let ground = Ground::new();
    let writer = Writer::create(&ground.target(), policy(), Limits::default()).unwrap();
    let name = ground.litter()[0].clone();
    let killed = name.replace(&std::process::id().to_string(), "4194304");
    for litter in [killed.clone(), format!("{killed}-old")] {
        fs::create_dir_all(ground.path(&litter).join("half")).unwrap();
    }
    for other in [
        ".target~",
        ".target~1.unpacking",
        ".other~1-0123456789abcdef.unpacking",
    ] {
        fs::create_dir(ground.path(other)).unwrap();
    }
    ground.write(&[file("x", "")]).unwrap();
    let mut left = ground.litter();
    left.sort();
    let mut expect = vec![
        name,
        ".target~".to_owned(),
        ".target~1.unpacking".to_owned(),
        ".other~1-0123456789abcdef.unpacking".to_owned(),
    ];
    expect.sort();
    assert_eq!(left, expect);
    drop(writer);
}
