//! Disks that are full or read-only (HOSTILE 72, 73), as file systems in memory.

use std::path::PathBuf;

use super::strace::{mounts_work, unshare};
use crate::harness::{Lab, Said, distro_fetch, image, noise, said};
use crate::server::Server;

const SMALL: usize = 10_000;
const LARGE: usize = 200_000;

struct Bench {
    lab: Lab,
    catalog: PathBuf,
    _servers: [Server; 2],
}

impl Bench {
    /// `alpine-3.20` is small, `alpine-3.21` large; `sized` tells whether the catalog knows.
    fn new(sized: bool) -> Self {
        let lab = Lab::new();
        let bodies = [noise(SMALL), noise(LARGE + 1).split_off(1)];
        let servers = bodies.clone().map(Server::with_file);
        let mut images = serde_json::Map::new();
        for ((name, server), bytes) in ["alpine-3.20", "alpine-3.21"]
            .iter()
            .zip(&servers)
            .zip(&bodies)
        {
            let mut image = image(name, &server.url("/rootfs.tar.xz"), bytes);
            if !sized {
                image["pins"]["amd64"]
                    .as_object_mut()
                    .unwrap()
                    .remove("size");
            }
            images.insert((*name).to_owned(), image);
        }
        let catalog = lab.path("catalog.json");
        let document = serde_json::json!({ "schema": 1, "origins": {}, "images": images });
        std::fs::write(&catalog, document.to_string()).unwrap();
        std::fs::create_dir(lab.cache()).unwrap();
        Self {
            lab,
            catalog,
            _servers: servers,
        }
    }

    /// Runs a script with the cache on a file system in memory: `p` is the program, `$C` the cache.
    fn script(&self, options: &str, script: &str) -> Said {
        let mut command = unshare(&format!(
            "set -e; C=$1; mount -t tmpfs -o mode=700,$2 none \"$C\"; set +e
             p() {{ \"$PROGRAM\" --cache-dir \"$C\" --catalog \"$CATALOG\" --arch amd64 --retries 0 \"$@\"; }}
             {script}"
        ));
        command.arg(self.lab.cache()).arg(options);
        command
            .env("PROGRAM", distro_fetch().get_program())
            .env("CATALOG", &self.catalog);
        said(&mut command)
    }
}

/// Fetches the small image, then the large one; shows what is there; reads all of it.
const FILL: &str = "p ensure alpine-3.20 >/dev/null || exit 100
    p ensure alpine-3.21; code=$?
    cd \"$C\"; find . -type f -printf '%p %s\\n'; find . -name '.tmp-*'
    p --offline ensure alpine-3.20 >/dev/null && p verify >/dev/null || exit 101
    exit $code";

fn check(sized: bool, options: &str) -> (Option<i32>, String) {
    let bench = Bench::new(sized);
    let said = bench.script(options, FILL);
    let when = format!("{options}, size known: {sized}: {said:?}");
    if said.code == Some(100) {
        // Not even the small one: judged by the smallest file systems.
        assert!(
            said.stderr.contains("disk is full") || said.stderr.contains("No space left"),
            "{when}"
        );
        return (said.code, said.stderr);
    }
    let entries = said
        .stdout
        .lines()
        .filter(|line| line.contains("entry.json "))
        .count();
    for line in said.stdout.lines().filter(|line| line.starts_with("./")) {
        assert!(!line.contains("tmp"), "{when}: litter {line}");
        // A complete file that only lacks its record is kept; half a one is in the way.
        assert!(
            !line.contains(".part ") || line.ends_with(&format!(" {LARGE}")),
            "{when}: {line}"
        );
    }
    match said.code {
        Some(0) => assert_eq!(entries, 2, "{when}"),
        Some(8) => {
            assert_eq!(entries, 1, "{when}");
            let text = &said.stderr;
            assert!(
                text.contains("disk is full") || text.contains("No space left on device"),
                "{when}"
            );
            assert!(text.contains("cache prune"), "{when}: no way out");
            assert!(
                text.contains(&*bench.lab.cache().to_string_lossy()),
                "{when}: no path"
            );
        }
        _ => panic!("{when}"),
    }
    (said.code, said.stderr)
}

#[test]
fn a_disk_that_is_full_at_any_point_keeps_the_old_and_nothing_of_the_new() {
    if !mounts_work() {
        return;
    }
    for sized in [true, false] {
        let mut codes = Vec::new();
        for pages in (4..96).step_by(4) {
            codes.push(check(sized, &format!("size={}k", pages * 4)).0);
        }
        for code in [Some(100), Some(8), Some(0)] {
            assert!(codes.contains(&code), "{codes:?}");
        }
    }
}

#[test]
fn a_disk_without_room_for_another_name_is_full_too() {
    if !mounts_work() {
        return;
    }
    let codes: Vec<_> = (8..40)
        .map(|inodes| check(true, &format!("nr_inodes={inodes}")).0)
        .collect();
    for code in [Some(100), Some(8), Some(0)] {
        assert!(codes.contains(&code), "{codes:?}");
    }
}

#[test]
fn what_cannot_fit_is_known_before_the_first_byte() {
    if !mounts_work() {
        return;
    }
    // From the pin, or else from what the server announces.
    for sized in [true, false] {
        let (code, text) = check(sized, "size=128k");
        assert_eq!(code, Some(8));
        for part in ["alpine-3.21 amd64", "195.3 KiB are needed in", "are free"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn a_read_only_file_system_serves_hits_and_says_that_it_is_read_only() {
    if !mounts_work() {
        return;
    }
    let bench = Bench::new(true);
    let said = bench.script(
        "size=4m",
        "p ensure alpine-3.20 || exit 100
         mount -o remount,bind,ro \"$C\" || exit 101
         p ensure alpine-3.20 || exit 102
         p ensure --verify alpine-3.20 || exit 103
         p verify || exit 104
         p ensure alpine-3.21",
    );
    assert_eq!(said.code, Some(8), "{said:?}");
    let text = &said.stderr;
    for part in [
        "alpine-3.21 amd64",
        "cannot be written",
        "read-only",
        &*bench.lab.cache().to_string_lossy(),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
