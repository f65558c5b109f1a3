//! Pruning while others read and fetch (HOSTILE 79).

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use distro_fetch::cache::{Cache, PruneOptions, PrunedKind};
use distro_fetch::event::Silent;
use distro_fetch::fetch::{Fetcher, Options, Request};
use distro_fetch::{Catalog, Kind, catalog};

use crate::harness::{Lab, distro_fetch, noise};

/// Three images, two of them the same bytes, fetched from files: as fast as it gets.
fn images(lab: &Lab) -> (std::path::PathBuf, Vec<Vec<u8>>) {
    let bodies = vec![noise(20_000), noise(20_000), noise(30_000)];
    let urls: Vec<_> = ["a", "a", "c"]
        .iter()
        .zip(&bodies)
        .map(|(name, bytes)| {
            let path = lab.path(name);
            fs::write(&path, bytes).unwrap();
            format!("file://{}", path.display())
        })
        .collect();
    let catalog = lab.catalog(&[
        ("alpine-3.20", &urls[0], &bodies[0]),
        ("alpine-3.21", &urls[1], &bodies[1]),
        ("alpine-3.22", &urls[2], &bodies[2]),
    ]);
    (catalog, bodies)
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
    let deadline = Instant::now() + Duration::from_secs(4);
    let (fetcher, done) = (&fetcher, &done);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..16usize)
            .map(|reader| {
                let (requests, bodies, reads) = (&requests, &bodies, &reads);
                scope.spawn(move || {
                    for round in 0..1000 {
                        if Instant::now() > deadline {
                            return;
                        }
                        let nth = (reader + round) % 3;
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
        let pruned = &pruned;
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
    let (reads, pruned) = (reads.into_inner(), pruned.into_inner());
    eprintln!("{reads} reads, {pruned} entries pruned");
    assert!(
        reads >= 100 && pruned >= 10,
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
        let mut command = distro_fetch();
        command
            .arg("--cache-dir")
            .arg(lab.cache())
            .arg("--catalog")
            .arg(&catalog);
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
                        let output = run(&["ensure", "alpine-3.20", "alpine-3.21", "alpine-3.22"]);
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
        assert!(prunes.join().unwrap() >= 5);
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
