//! `catalog.json` is what the refresher writes: it is run over five years of releases, day by
//! day, from a catalog without pins, and has to come out where the repository is.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use distro_fetch::Arch;
use distro_fetch::base::Date;
use distro_fetch::catalog::{Catalog, Image, Pin, Rules, SourceType};
use refresh::report::Report;
use refresh::run::{Settings, run};
use refresh::summary::{Outcome, render};

use crate::facts;
use crate::world::World;

/// What a replay comes to.
struct Replay {
    catalog: Catalog,
    /// The summaries of all days.
    summaries: String,
    /// What failed, without the day: `IMAGE ARCH: KIND`.
    failures: BTreeSet<String>,
    days: usize,
}

impl Replay {
    /// Lives through all days.
    ///
    /// On each, only those are asked who have something new. The others would say what they said
    /// on the day before, and a source is a function of what is said; that nothing was missed by
    /// that, `the_last_day_again` proves by asking everybody.
    fn of(world: &World, start: &Catalog, jobs: usize) -> Self {
        let mut replay = Self {
            catalog: start.clone(),
            summaries: String::new(),
            failures: BTreeSet::new(),
            days: 0,
        };
        for day in world.days() {
            let report = live(world, &replay.catalog, day, Some(world.news(day)), jobs);
            replay.days += 1;
            replay.summaries += &format!("{day}\n{}", summary(&report));
            replay.failures.extend(failures(&report));
            replay.catalog = report.catalog;
        }
        replay
    }
}

/// One run, at noon.
fn live(
    world: &World,
    catalog: &Catalog,
    day: Date,
    asked: Option<BTreeSet<String>>,
    jobs: usize,
) -> Report {
    let settings = Settings {
        asked,
        now: format!("{day}T12:00:00Z").parse().unwrap(),
        jobs: NonZeroUsize::new(jobs).unwrap(),
        ..Settings::default()
    };
    run(catalog, &world.on(day), &world.keys, &settings).unwrap()
}

fn summary(report: &Report) -> String {
    render(report, Outcome::Accepted).unwrap()
}

fn failures(report: &Report) -> Vec<String> {
    let failures = report.failures.iter();
    failures
        .map(|it| {
            let kind = it.trouble.kind.as_str();
            format!("{} {}: {kind}", it.image, it.arch)
        })
        .collect()
}

fn ours() -> (String, Catalog) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog.json");
    let text = std::fs::read_to_string(path).unwrap();
    let catalog = Catalog::parse(&text, Rules::Embedded).unwrap();
    (text, catalog)
}

/// What people wrote: no pin but those that nothing follows.
fn authored(catalog: &Catalog) -> Catalog {
    let images = catalog.images.iter().map(|image| {
        let pins = if is_followed(image) {
            Vec::new().into()
        } else {
            image.pins.clone()
        };
        Image {
            pins,
            ..image.clone()
        }
    });
    Catalog {
        images: images.collect(),
        ..catalog.clone()
    }
}

/// Adds the other places that a person found and no template gives.
fn reviewed(catalog: &Catalog, world: &World) -> Catalog {
    let found = |pin: &Pin| {
        let facts = world.facts.iter();
        facts
            .filter(|it| Some(&it.url) == pin.address.url())
            .flat_map(|it| it.alternates.iter().map(|url| url.parse().unwrap()))
            .collect::<Vec<_>>()
    };
    let images = catalog.images.iter().map(|image| {
        let pins = image.pins.iter().map(|pin| {
            let mut alternates = pin.alternates.to_vec();
            alternates.extend(found(pin));
            Pin {
                alternates: alternates.into(),
                ..pin.clone()
            }
        });
        Image {
            pins: pins.collect(),
            ..image.clone()
        }
    });
    Catalog {
        images: images.collect(),
        ..catalog.clone()
    }
}

/// Where two catalogs differ: image, architecture and field, one per line.
fn differences(expect: &str, found: &str) -> String {
    fn walk(at: &str, expect: &serde_json::Value, found: &serde_json::Value, lines: &mut String) {
        if let (Some(a), Some(b)) = (expect.as_object(), found.as_object()) {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = serde_json::Value::Null;
            for key in keys {
                let value = |it: &'_ serde_json::Map<String, serde_json::Value>| {
                    it.get(key).unwrap_or(&null).clone()
                };
                walk(&format!("{at} {key}"), &value(a), &value(b), lines);
            }
        } else if expect != found {
            lines.push_str(&format!(
                "{at}: {expect} in the file, {found} by the replay\n"
            ));
        }
    }
    let value = |text: &str| serde_json::from_str(text).unwrap();
    let mut lines = String::new();
    walk("", &value(expect), &value(found), &mut lines);
    lines
}

#[test]
fn replay() {
    let begin = Instant::now();
    let (text, catalog) = ours();
    let world = World::new(&catalog);
    let replay = Replay::of(&world, &authored(&catalog), 2);
    eprintln!("{} days in {:?}", replay.days, begin.elapsed());
    let found = reviewed(&replay.catalog, &world).to_json();
    let wrong = differences(&text, &found);
    assert!(wrong.is_empty(), "\n{wrong}\n{:#?}", replay.failures);
    assert_eq!(text, found, "the same values, written differently");
    assert_eq!(replay.failures, BTreeSet::new());
}

/// From the replay's catalog and from the repository's, everybody being asked: nothing changes.
#[test]
fn the_last_day_again() {
    let (text, catalog) = ours();
    let world = World::new(&catalog);
    let day = *world.days().last().unwrap();
    let replayed = Replay::of(&world, &authored(&catalog), 2).catalog;
    for before in [&replayed, &catalog] {
        let report = live(&world, before, day, None, 2);
        let changes = report.changes.iter().map(|it| it.image.as_str());
        assert_eq!(changes.collect::<Vec<_>>(), [""; 0]);
        assert_eq!(report.catalog.to_json(), before.to_json());
        let failed: BTreeSet<_> = failures(&report).into_iter().collect();
        assert_eq!(failed, BTreeSet::new());
        let followed = before.images.iter().filter(|it| is_followed(it));
        let pins: usize = followed.map(|it| it.pins.len()).sum();
        let failed = report.failures.iter().filter(|it| it.kept.is_some());
        assert_eq!(report.unchanged + failed.count(), pins);
        let unread = report.unpinned.iter();
        let unread = unread.filter_map(|it| it.trouble.message.strip_suffix(".qcow2: 404"));
        let unread: BTreeSet<_> = unread.filter_map(|it| it.rsplit('/').next()).collect();
        assert_eq!(unread.into_iter().collect::<Vec<_>>(), UNREAD);
    }
    assert_eq!(catalog.to_json(), text);
}

/// However many are asked at once, and whoever answers first.
#[test]
fn a_replay_is_the_same_each_time() {
    let (_, catalog) = ours();
    let world = World::new(&catalog);
    let [one, many] = [1, 7].map(|jobs| Replay::of(&world, &authored(&catalog), jobs));
    assert_eq!(one.catalog.to_json(), many.catalog.to_json());
    assert_eq!(one.summaries, many.summaries);
    assert_eq!(one.failures, many.failures);
    assert!(one.summaries.len() > one.days * 100, "nothing is said");
}

/// A world that is one fact poorer, or in which one fact is another, has another catalog: what
/// is compared does not come from the catalog itself.
#[test]
fn a_replay_can_fail() {
    let (_, catalog) = ours();
    let pin = |catalog: &Catalog, image: &str| {
        let image = catalog.get(image).unwrap();
        image.pin(Arch::Amd64).map(|it| it.sha256.to_string())
    };
    let whole = pin(&catalog, "ubuntu-24.04-cloud").unwrap();
    let mut facts = facts::files();
    for fact in &mut facts {
        if fact.sha256.as_ref() == Some(&whole) {
            fact.sha256 = Some(whole.chars().rev().collect());
        }
    }
    facts.retain(|it| !it.url.as_str().contains("/wsl-images/kali-"));
    let world = World::of(facts, &catalog);
    let replay = Replay::of(&world, &authored(&catalog), 2);
    let found = reviewed(&replay.catalog, &world).to_json();
    let wrong = differences(&catalog.to_json(), &found);
    let wrong: Vec<_> = wrong.lines().collect();
    let about = |what: &str| wrong.iter().filter(|it| it.contains(what)).count();
    assert_eq!(
        about(" ubuntu-24.04-cloud pins amd64 sha256: "),
        1,
        "{wrong:#?}"
    );
    assert_eq!(about(" kali-current-wsl pins "), 2, "{wrong:#?}");
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
}

fn is_followed(image: &Image) -> bool {
    let source = image.source.as_ref();
    source.is_some_and(|it| it.kind != SourceType::Fixed)
}

/// Files that would be pinned if somebody had their bytes: upstream publishes their SHA-512 only.
const UNREAD: &[&str] = &[
    "debian-11-genericcloud-amd64-20260707-2532",
    "debian-11-genericcloud-arm64-20260707-2532",
    "debian-12-generic-ppc64el-20260712-2537",
    "debian-12-genericcloud-amd64-20260712-2537",
    "debian-12-genericcloud-arm64-20260712-2537",
    "debian-13-generic-ppc64el-20260810-2566",
    "debian-13-generic-riscv64-20260712-2537",
    "debian-13-genericcloud-amd64-20260712-2537",
    "debian-13-genericcloud-arm64-20260712-2537",
    "nocloud_alpine-3.21.7-aarch64-uefi-cloudinit-r0",
    "nocloud_alpine-3.21.7-x86_64-uefi-cloudinit-r0",
    "nocloud_alpine-3.22.4-aarch64-uefi-cloudinit-r0",
    "nocloud_alpine-3.22.4-x86_64-uefi-cloudinit-r0",
    "nocloud_alpine-3.23.4-aarch64-uefi-cloudinit-r0",
    "nocloud_alpine-3.23.4-x86_64-uefi-cloudinit-r0",
];
