//! Which versions stay, and for how long.

use std::fs;

use super::kit::{PLACE, SPLIT, Yard, paths};

fn yard() -> Yard {
    let yard = Yard::new();
    for day in 1..=4 {
        yard.put(&format!("{PLACE}/2026010{day}_13:00"), &SPLIT);
    }
    yard.put("images/other/1/amd64/default/20200101", &SPLIT);
    yard
}

fn serials(yard: &Yard) -> Vec<String> {
    let there = paths(&yard.root.join(PLACE));
    there
        .into_iter()
        .filter(|path| !path.contains("tar"))
        .map(|path| path.strip_suffix("_13:00").unwrap_or(&path).to_owned())
        .collect()
}

fn listed(yard: &Yard) -> Vec<String> {
    let listed = yard.listed();
    let ours = listed
        .iter()
        .filter_map(|line| line.strip_prefix("alpine:3.21:amd64:default "));
    ours.map(|serial| serial[..8].to_owned()).collect()
}

#[test]
fn the_newest_stay_and_what_an_index_named_stays_for_an_hour() {
    let yard = yard();
    assert_eq!(yard.retain(9, 0.0).removed, [""; 0]);
    assert_eq!(listed(&yard).len(), 4);
    // They leave the index at once, and the disk when nobody can hold an index with them any more.
    assert_eq!(yard.retain(2, 10.0).removed, [""; 0]);
    assert_eq!(listed(&yard), ["20260103", "20260104"]);
    assert_eq!(serials(&yard).len(), 4);
    assert_eq!(yard.retain(2, 10.9).removed, [""; 0]);
    assert_eq!(serials(&yard).len(), 4);
    let report = yard.retain(2, 11.1);
    assert_eq!(
        report.removed,
        [
            format!("{PLACE}/20260101_13:00"),
            format!("{PLACE}/20260102_13:00")
        ]
    );
    assert!(!report.changed);
    assert_eq!(serials(&yard), ["20260103", "20260104"]);
    // Each product has its own: the other one's only version is older, and stays.
    assert!(
        yard.listed()[2].starts_with("other:1:amd64:default"),
        "{:?}",
        yard.listed()
    );
    assert_eq!(yard.retain(2, 99.0).removed, [""; 0]);
}

#[test]
fn what_no_index_ever_named_needs_no_hour() {
    let yard = yard();
    assert_eq!(yard.retain(1, 0.0).removed.len(), 3);
    assert_eq!(serials(&yard), ["20260104"]);
}

#[test]
fn named_again_is_young_again() {
    let yard = yard();
    yard.retain(4, 0.0);
    yard.retain(3, 1.0);
    // An older build is found to be needed after all, and then is not.
    yard.retain(4, 1.5);
    yard.retain(3, 2.0);
    assert_eq!(yard.retain(3, 2.9).removed, [""; 0]);
    assert_eq!(yard.retain(3, 3.1).removed.len(), 1);
}

/// Without the state the index itself tells what it named, and when is taken for now.
#[test]
fn a_lost_state_removes_nothing_early() {
    for also_index in [false, true] {
        let yard = yard();
        yard.retain(4, 0.0);
        fs::remove_file(yard.root.join(".publish.state")).unwrap();
        if also_index {
            // Another generator wrote the index, in its own way.
            let images = yard.images();
            fs::write(
                yard.root.join("streams/v1/images.json"),
                format!("{images:#}"),
            )
            .unwrap();
        }
        assert_eq!(yard.retain(1, 50.0).removed, [""; 0]);
        assert_eq!(serials(&yard).len(), 4);
        assert_eq!(listed(&yard), ["20260104"]);
        assert_eq!(yard.retain(1, 52.0).removed.len(), 3);
    }
}

/// Killed between the state and the index: the old index is what readers have.
#[test]
fn a_state_that_is_ahead_of_the_index_removes_nothing_early() {
    let yard = yard();
    yard.retain(4, 0.0);
    let index = fs::read(yard.root.join("streams/v1/images.json")).unwrap();
    yard.retain(1, 1.0);
    fs::write(yard.root.join("streams/v1/images.json"), index).unwrap();
    assert_eq!(yard.retain(1, 2.5).removed, [""; 0]);
    assert_eq!(serials(&yard).len(), 4);
    assert_eq!(yard.retain(1, 3.6).removed.len(), 3);
}

#[test]
fn a_clock_that_jumps_keeps_things_for_an_hour_at_most() {
    let yard = yard();
    yard.retain(4, 1000.0);
    yard.retain(1, 1000.0);
    // Back by weeks.
    assert_eq!(yard.retain(1, 0.0).removed, [""; 0]);
    assert_eq!(yard.retain(1, 1.1).removed.len(), 3);
}

#[test]
fn what_is_bad_is_neither_counted_nor_removed() {
    let yard = yard();
    fs::write(
        yard.root
            .join(format!("{PLACE}/20260104_13:00/incus.tar.xz")),
        b"",
    )
    .unwrap();
    let report = yard.retain(1, 0.0);
    assert_eq!(report.problems.len(), 1);
    assert_eq!(listed(&yard), ["20260103"]);
    assert_eq!(serials(&yard), ["20260103", "20260104"]);
}

#[test]
fn what_a_kill_left_of_a_removal_is_swept() {
    let yard = yard();
    yard.publish();
    let left = format!("{PLACE}/.20250101~1-0123456789abcdef.retired");
    let left = yard.put(&left, &SPLIT);
    let theirs = yard.put(&format!("{PLACE}/.20250101~.mine"), &SPLIT);
    yard.publish();
    assert!(!left.exists());
    assert!(theirs.exists());
}

#[test]
fn a_dry_run_says_what_would_go() {
    let yard = yard();
    let retain = std::num::NonZeroUsize::new(1);
    let report = yard.try_publish(distro_fetch::simplestreams::publish::Options {
        dry_run: true,
        retain,
        ..super::kit::options()
    });
    assert_eq!(report.removed.len(), 3);
    assert_eq!(serials(&yard).len(), 4);
}
