//! Somebody with our rights swaps a directory for a link while we write (HOSTILE 58).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use distro_fetch::archive::Limits;
use distro_fetch::tree::Writer;

use super::ground::{Ground, file, policy, snapshot};

#[test]
fn a_directory_that_flips_to_a_link_leads_nowhere() {
    let ground = Ground::new();
    let outside = ground.outside();
    // The flipper must not change what is outside by moving it about: it only makes links.
    let before = snapshot(&outside);
    let mut writer = Writer::create(&ground.target(), policy(), Limits::default()).unwrap();
    writer
        .add(&file("a/b/first", "x").0, &mut b"x".as_slice())
        .unwrap();
    let staging: PathBuf = ground.path(&ground.litter()[0]);
    let stop = AtomicBool::new(false);
    let (mut written, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (real, aside) = (staging.join("a"), staging.join("aside"));
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::rename(&real, &aside);
                let _ = symlink(&outside, &real);
                std::thread::yield_now();
                let _ = fs::remove_file(&real);
                let _ = fs::rename(&aside, &real);
            }
        });
        // Many parents, so that descriptors are opened again and again; until some writes came
        // through, however the two threads are scheduled.
        let start = Instant::now();
        for round in 0.. {
            if round >= 2_000 && written > 0 || start.elapsed() > Duration::from_secs(20) {
                break;
            }
            let (entry, data) = file(format!("a/{}/{round}", round % 40), "evil");
            match writer.add(&entry, &mut data.as_slice()) {
                Ok(()) => written += 1,
                Err(_) => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(writer);
    assert_eq!(
        snapshot(&outside),
        before,
        "{written} written, {refused} refused"
    );
    assert!(!ground.target().exists());
    assert!(written > 0);
}

#[test]
fn cleaning_up_follows_no_link() {
    let ground = Ground::new();
    let outside = ground.outside();
    let mut writer = Writer::create(&ground.target(), policy(), Limits::default()).unwrap();
    writer
        .add(&file("a/b/first", "x").0, &mut b"x".as_slice())
        .unwrap();
    let staging = ground.path(&ground.litter()[0]);
    fs::remove_dir_all(staging.join("a/b")).unwrap();
    symlink(&outside, staging.join("a/b")).unwrap();
    symlink(outside.join("victim"), staging.join("a/c")).unwrap();
    let before = snapshot(&outside);
    drop(writer);
    assert_eq!(ground.litter(), [] as [&str; 0]);
    assert_eq!(snapshot(&outside), before);
}
