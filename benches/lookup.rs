//! What a lookup costs: `cargo bench --bench lookup --no-default-features`.
//!
//! Plain `Instant`: the best of several rounds over every name of a catalog, in nanoseconds.

#![allow(
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss
)] // it prints one decimal

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use distro_fetch::catalog::{Catalog, Rules, pinned_image};

fn main() {
    let embedded = Catalog::embedded();
    let overlay = Catalog::parse(&overlay(NAMES), Rules::Overlay).unwrap();
    measure("Catalog::get, embedded", &embedded, |name| {
        embedded.get(name).is_some()
    });
    measure("pinned_image, embedded", &embedded, |name| {
        pinned_image(name).is_some()
    });
    measure("Catalog::get, overlay", &overlay, |name| {
        overlay.get(name).is_some()
    });
    measure("Catalog::get, overlay, a miss", &overlay, |name| {
        overlay.get(&name[1..]).is_none()
    });
}

fn measure(what: &str, catalog: &Catalog, lookup: impl Fn(&str) -> bool) {
    // Not in their own order: neighbours would find their path in the cache.
    let mut names: Vec<&str> = catalog.images.iter().map(|it| it.name.as_str()).collect();
    let mut state = 1_usize;
    for at in (1..names.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        names.swap(at, (state >> 33) % (at + 1));
    }
    let lookups = names.len() * PASSES;
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..PASSES {
                for name in &names {
                    assert!(black_box(lookup(black_box(name))));
                }
            }
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::ZERO);
    let each = best.as_secs_f64() * 1e9 / lookups as f64;
    println!("{what:32} {:5} names {each:8.1} ns", names.len());
}

fn overlay(names: usize) -> String {
    let mut images = String::new();
    for n in 0..names {
        let comma = if n == 0 { "" } else { "," };
        write!(
            images,
            "{comma}\"bench-{n:05}\": {{ \"distro\": \"bench\", \"version\": \"{n:05}\", \
             \"kind\": \"rootfs\", \"arches\": [\"amd64\"], \"pins\": {{ \"amd64\": {{ \
             \"snapshot\": \"1\", \"url\": \"file:///{n}\", \"sha256\": \"{n:064x}\" }} }} }}"
        )
        .unwrap();
    }
    format!("{{ \"schema\": 1, \"origins\": {{}}, \"images\": {{ {images} }} }}")
}

const NAMES: usize = 2_000;
const PASSES: usize = 50;
const ROUNDS: usize = 20;
