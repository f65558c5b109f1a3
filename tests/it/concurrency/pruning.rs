//! Pruning while others read and fetch (HOSTILE 79).

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use distro_fetch::cache::{Cache, PruneOptions, PrunedKind};
use distro_fetch::event::Silent;
use distro_fetch::fetch::{Fetcher, Options, Request};
use distro_fetch::{Catalog, Kind, catalog};

use crate::harness::{Lab, noise};

/// Twelve images, each two the same bytes, fetched from files: as fast as it gets.
fn images(lab: &Lab) -> (PathBuf, Vec<Vec<u8>>) {
    let names: Vec<_> = (10..22).map(|minor| format!("alpine-3.{minor}")).collect();
    let bodies: Vec<_> = (0..12).map(|nth| noise(20_000 + nth / 2)).collect();
    let urls: Vec<_> = bodies
        .iter()
        .map(|bytes| {
            let path = lab.path(&bytes.len().to_string());
            fs::write(&path, bytes).unwrap();
            format!("file://{}", path.display())
        })
        .collect();
    let list = names.iter().zip(&urls).zip(&bodies);
    let list: Vec<_> = list
        .map(|((name, url), bytes)| (&**name, &**url, &**bytes))
        .collect();
    (lab.catalog(&list), bodies)
}

fn all() -> PruneOptions {
    PruneOptions {
        all: true,
        ..PruneOptions::default()
    }
}

#[test]
fn what_a_reader_holds_is_there_while_everything_else_is_pruned() {
    let lab = Lab::new();
    let (path, bodies) = images(&lab);
    let catalog =
        Catalog::parse(&fs::read_to_string(path).unwrap(), catalog::Rules::Overlay).unwrap();
    let requests: Vec<_> = catalog
        .images
        .iter()
        .map(|image| Request::pinned(&catalog, image, &image.pins[0]).unwrap())
        .collect();
    let options = Options {
        retries: 0,
        ..Options::default()
    };
    let fetcher = Fetcher::new(Cache::at(lab.cache()).unwrap(), options);
    let (done, reads, pruned) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    let (fetcher, done, reads, pruned) = (&fetcher, &done, &reads, &pruned);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..16usize)
            .map(|reader| {
                let (requests, bodies) = (&requests, &bodies);
                scope.spawn(move || {
                    for round in 0.. {
                        let met = reads.load(Relaxed) >= 2000 && pruned.load(Relaxed) >= 100;
                        if met || Instant::now() > deadline {
                            return;
                        }
                        let nth = (reader * 5 + round) % requests.len();
                        let outcome = fetcher.ensure(&requests[nth], &Silent).unwrap();
                        // The name, not a descriptor: it must not vanish.
                        for _ in 0..3 {
                            assert_eq!(fs::read(outcome.entry.path()).unwrap(), bodies[nth]);
                            std::thread::yield_now();
                        }
                        reads.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        let sweeper = scope.spawn(move || {
            while !done.load(Relaxed) {
                let list = fetcher.cache().prune(&all()).unwrap();
                let entries = list.iter().filter(|it| it.kind == PrunedKind::Entry);
                pruned.fetch_add(entries.count(), Relaxed);
            }
        });
        let readers: Vec<_> = readers
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Relaxed);
        let swept = sweeper.join();
        assert!(readers.iter().all(Result::is_ok) && swept.is_ok());
    });
    let (reads, pruned) = (reads.load(Relaxed), pruned.load(Relaxed));
    eprintln!("{reads} reads, {pruned} entries pruned");
    assert!(
        reads >= 2000 && pruned >= 100,
        "{reads} reads, {pruned} pruned: they did not meet"
    );
    fetcher.cache().prune(&all()).unwrap();
    assert_eq!(lab.cached_files(), [] as [&str; 0], "no litter");
}

#[test]
fn processes_that_fetch_and_processes_that_prune_do_not_hurt_each_other() {
    let lab = Lab::new();
    let (catalog, _) = images(&lab);
    let run = |arguments: &[&str]| {
        let mut command = lab.command(&catalog);
        command
            .args(["--arch", "amd64", "--retries", "0", "-q"])
            .args(arguments);
        command.stdout(Stdio::null()).output().unwrap()
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let prunes = scope.spawn(|| {
            let mut prunes = 0;
            while !done.load(Relaxed) {
                let output = run(&["cache", "prune", "--all"]);
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                prunes += 1;
            }
            prunes
        });
        let fetches: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let output = run(&["ensure", "alpine-3.19", "alpine-3.20", "alpine-3.21"]);
                        let text = String::from_utf8_lossy(&output.stderr);
                        assert!(output.status.success(), "{text}");
                    }
                })
            })
            .collect();
        let fetches: Vec<_> = fetches
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Relaxed);
        assert!(fetches.iter().all(Result::is_ok));
        assert!(prunes.join().unwrap() >= 2);
    });
}

#[test]
fn two_prunes_do_not_work_at_once() {
    let lab = Lab::new();
    let cache = Cache::at(lab.cache()).unwrap();
    cache.prepare().unwrap();
    let lock = fs::File::create(lab.cache().join("v1/locks/prune.lock")).unwrap();
    lock.lock().unwrap();
    let error = cache.prune(&all()).unwrap_err();
    assert_eq!(error.kind(), Kind::Local);
    assert!(
        error.to_string().contains("another prune is at work"),
        "{error}"
    );
    drop(lock);
    assert_eq!(cache.prune(&all()).unwrap(), []);
}
