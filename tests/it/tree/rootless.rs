//! What an ordinary user gets. Run as root, another test starts these as somebody else.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use distro_fetch::archive::{Device, Kind as What, Limits};
use distro_fetch::sys;
use distro_fetch::tree::{Loss, Policy, Replace, Writer};

use super::ground::{
    Made, file, folder, hardlink, is_root, mode, owner, policy, special, symlink, write, xattr,
};

/// Where a child writes.
pub(super) const PLACE: &str = "DISTRO_FETCH_TEST_ROOTLESS";

/// Writes a tree, gives up another one half way, and replaces the first by itself.
pub(super) fn write_here(target: &Path, entries: &[Made]) {
    write(target, entries, policy(), Limits::default()).unwrap();
    let replacing = || Policy {
        replace: Replace::Yes,
        ..policy()
    };
    let mut half = Writer::create(target, replacing(), Limits::default()).unwrap();
    for (entry, data) in &entries[..entries.len() / 2] {
        half.add(entry, &mut data.as_slice()).unwrap();
    }
    drop(half);
    let report = write(target, entries, replacing(), Limits::default()).unwrap();
    assert_eq!(report.leftover, None);
    for name in fs::read_dir(target.parent().unwrap()).unwrap() {
        let name = name.unwrap().file_name();
        let ours = [b".", target.file_name().unwrap().as_bytes(), b"~"].concat();
        assert!(
            !name.as_bytes().starts_with(&ours),
            "litter: {}",
            name.display()
        );
    }
}

/// Paths and modes.
pub(super) fn listing(target: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut next = vec![target.to_owned()];
    while let Some(path) = next.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(target).unwrap().display().to_string();
        lines.push(format!("{name} {:o}", meta.mode()));
        if meta.is_dir() && (meta.mode() & 0o700 == 0o700 || is_root()) {
            next.extend(fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
        }
    }
    lines.sort();
    lines
}

#[test]
fn child() {
    if let Some(target) = std::env::var_os(PLACE) {
        keeps_what_a_user_may(Path::new(&target));
    }
}

/// HOSTILE 54, 55 and 72 as an ordinary user.
fn keeps_what_a_user_may(target: &Path) {
    assert!(!is_root());
    let entries = [
        owner(mode(file("su", "x"), 0o4755), 0, 0),
        xattr(mode(file("ping", "x"), 0o444), "security.capability", "c"),
        xattr(mode(file("noted", "x"), 0o400), "user.note", "n"),
        special("null", What::Character(Device { major: 1, minor: 3 })),
        mode(folder("closed"), 0),
        file("closed/deep/x", "in the dark"),
        hardlink("linked", "closed/deep/x"),
        mode(folder("listed"), 0o444),
        symlink("listed/l", "x"),
        special("pipe", What::Fifo),
        mode(folder("."), 0o555),
    ];
    write_here(target, &entries);
    let again = target.with_extension("again");
    let report = write(&again, &entries, policy(), Limits::default()).unwrap();
    let mode = |name: &str| fs::symlink_metadata(again.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("su"), 0o755);
    assert_eq!(mode("ping"), 0o444);
    assert_eq!(mode("noted"), 0o400);
    assert_eq!(mode("closed"), 0);
    assert_eq!(mode("listed"), 0o444);
    assert_eq!(mode("pipe"), 0o666);
    assert_eq!(mode("."), 0o555);
    assert_eq!(fs::read(again.join("linked")).unwrap(), b"in the dark");
    assert!(
        fs::symlink_metadata(again.join("null")).is_err(),
        "no file for a device"
    );
    assert_eq!(report.count(Loss::Device), 1);
    assert_eq!(report.count(Loss::SetId), 1);
    assert!(report.count(Loss::Owner) >= 9, "{}", report.to_json());
    let lost: Vec<_> = report.first(Loss::Xattr).map(|it| it.0.to_vec()).collect();
    assert!(lost.contains(&b"ping".to_vec()), "{lost:?}");

    // Content is there behind a closed door, and all of it can be removed.
    fs::set_permissions(again.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(
        fs::read(again.join("closed/deep/x")).unwrap(),
        b"in the dark"
    );
    fs::set_permissions(again.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let parent = sys::open_folder(again.parent().unwrap()).unwrap();
    for path in [target, &again] {
        sys::remove_tree(&parent, path.file_name().unwrap().as_bytes()).unwrap();
        assert!(fs::symlink_metadata(path).is_err());
    }
}
