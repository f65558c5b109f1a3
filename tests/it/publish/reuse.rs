//! What was hashed once is not read again, as long as nobody touches it.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use distro_fetch::simplestreams::publish::Report;

use super::kit::{PLACE, SERIAL, SPLIT, Yard, options, sha256};

const STATE: &str = ".publish.state";

fn root_file(yard: &Yard) -> PathBuf {
    yard.root.join(format!("{PLACE}/{SERIAL}/rootfs.tar.xz"))
}

fn counts(report: &Report) -> (usize, usize, bool) {
    (report.hashed, report.reused, report.changed)
}

#[test]
fn nothing_new_is_nothing_read_and_nothing_written() {
    let yard = Yard::with_image();
    assert_eq!(counts(&yard.publish()), (2, 0, true));
    let look = || {
        ["streams/v1/images.json", "streams/v1/index.json", STATE].map(|name| {
            let meta = fs::metadata(yard.root.join(name)).unwrap();
            (meta.ino(), meta.mtime(), meta.mtime_nsec())
        })
    };
    let before = look();
    assert_eq!(counts(&yard.publish()), (0, 2, false));
    assert_eq!(look(), before);
    // Only what is new is read: of the new version both, of the old one nothing.
    yard.put(&format!("{PLACE}/20260129_13:00"), &SPLIT);
    assert_eq!(counts(&yard.publish()), (2, 2, true));
    // New metadata beside an old root makes a new fingerprint: the root is read again.
    yard.put(&format!("{PLACE}/{SERIAL}"), &[("lxd.tar.xz", b"other")]);
    let report = yard.publish();
    assert_eq!((report.changed, report.problems.len()), (true, 0));
    let items = yard.items();
    assert_eq!(
        items["lxd.tar.xz"]["combined_sha256"],
        sha256(&[b"other", b"root"])
    );
    assert_eq!(
        items["incus.tar.xz"]["combined_sha256"],
        sha256(&[b"metadata", b"root"])
    );
    assert_eq!(counts(&yard.publish()), (0, 5, false));
}

/// Same size, and the time set back: an index that trusts these two names a hash that nothing has.
#[test]
fn a_change_is_seen_whatever_the_file_says_of_its_time() {
    for way in ["in place", "replaced", "touched"] {
        let yard = Yard::with_image();
        yard.publish();
        let path = root_file(&yard);
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        match way {
            "in place" => fs::write(&path, b"ROOT").unwrap(),
            "replaced" => {
                let other = path.with_file_name("new");
                fs::write(&other, b"ROOT").unwrap();
                fs::rename(other, &path).unwrap();
            }
            _ => {}
        }
        if way == "touched" {
            let file = File::open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(std::time::SystemTime::now()))
                .unwrap();
        } else {
            let file = File::open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
        }
        let report = yard.publish();
        assert_eq!(report.changed, way != "touched", "{way}");
        assert!(report.hashed > 0, "{way}");
        let now = fs::read(&path).unwrap();
        assert_eq!(
            yard.items()["root.tar.xz"]["sha256"],
            sha256(&[&now]),
            "{way}"
        );
    }
}

#[test]
fn a_state_that_is_not_ours_is_none() {
    type Spoil = fn(&Yard);
    let spoils: [(&str, Spoil); 9] = [
        ("gone", |yard| {
            fs::remove_file(yard.root.join(STATE)).unwrap();
        }),
        ("torn", |yard| {
            let path = yard.root.join(STATE);
            let length = fs::metadata(&path).unwrap().len();
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(length / 2)
                .unwrap();
        }),
        ("empty", |yard| {
            fs::write(yard.root.join(STATE), b"").unwrap();
        }),
        ("another version", |yard| {
            fs::write(yard.root.join(STATE), b"distro-fetch publish 9\n").unwrap();
        }),
        ("not text", |yard| {
            fs::write(yard.root.join(STATE), [0xff; 99]).unwrap();
        }),
        ("a hash was changed", |yard| {
            let path = yard.root.join(STATE);
            let text = fs::read_to_string(&path).unwrap();
            let right = sha256(&[b"root"]);
            assert!(text.contains(&right));
            fs::write(path, text.replace(&right, &sha256(&[b"evil"]))).unwrap();
        }),
        ("others may write it", |yard| {
            let path = yard.root.join(STATE);
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("a link", |yard| {
            let path = yard.root.join(STATE);
            fs::rename(&path, yard.folder.join("elsewhere")).unwrap();
            std::os::unix::fs::symlink(yard.folder.join("elsewhere"), path).unwrap();
        }),
        ("a FIFO", |yard| {
            let path = yard.root.join(STATE);
            fs::remove_file(&path).unwrap();
            rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).unwrap();
        }),
    ];
    for (what, spoil) in spoils {
        let yard = Yard::with_image();
        yard.publish();
        let items = yard.items();
        spoil(&yard);
        let report = yard.publish();
        assert_eq!(report.hashed, 2, "{what}");
        assert!(!report.changed, "{what}");
        assert_eq!(yard.items(), items, "{what}");
        // It is made anew.
        assert_eq!(yard.publish().reused, 2, "{what}");
    }
}

/// Somebody who wants to stop is heard, and what was hashed until then is known.
#[test]
fn a_stop_loses_nothing_that_was_hashed() {
    use distro_fetch::event::{Event, Observer};
    use std::ops::ControlFlow;
    use std::sync::atomic::{AtomicUsize, Ordering};
    struct After(AtomicUsize);
    impl Observer for After {
        fn on(&self, _: Event<'_>) -> ControlFlow<()> {
            match self.0.fetch_sub(1, Ordering::Relaxed) {
                0 | 1 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let yard = Yard::new();
    for day in 1..=9 {
        yard.put(&format!("{PLACE}/2026010{day}_13:00"), &SPLIT);
    }
    let one = distro_fetch::simplestreams::publish::Options {
        jobs: std::num::NonZeroUsize::MIN,
        ..options()
    };
    let stopped = yard.publisher().publish(&one, &After(AtomicUsize::new(7)));
    assert_eq!(stopped.unwrap_err().kind(), distro_fetch::Kind::Cancelled);
    assert!(!yard.root.join("streams").exists());
    let report = yard.publish();
    assert_eq!(report.hashed + report.reused, 18);
    assert!(report.reused >= 4, "{report:?}");
}
