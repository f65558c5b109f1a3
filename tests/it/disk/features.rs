//! What an image can be, and the disk that it is of.

use std::fs;
use std::time::{Duration, Instant};

use super::kit::{
    Cluster, Image, Style, allocated, assert_sparse, convert, have, judge, mixed, names, salted,
    text,
};
use crate::harness::Lab;

/// One image, on one thread and on many; qemu-img agrees, where it can say.
fn check(name: &str, image: &Image) {
    let lab = Lab::new();
    let source = lab.path("source.qcow2");
    fs::write(&source, &image.bytes).unwrap();
    for threads in [1, 5] {
        let target = lab.path("target.raw");
        let survey = convert(&source, &target, threads).unwrap_or_else(|error| {
            panic!("{name}: {error}");
        });
        assert_eq!(survey.size, image.raw.len() as u64, "{name}");
        assert_sparse(&target, &image.raw, name);
        fs::remove_file(&target).unwrap();
    }
    assert_eq!(names(&lab.path("")), ["source.qcow2"], "{name}");
    // It knows sectors only.
    if image.raw.len().is_multiple_of(512) && !image.raw.is_empty() && have("qemu-img") {
        let target = lab.path("judged.raw");
        let (from, to) = (source.to_str().unwrap(), target.to_str().unwrap());
        judge(
            "qemu-img",
            &["convert", "-f", "qcow2", "-O", "raw", from, to],
        );
        assert!(fs::read(&target).unwrap() == image.raw, "{name}: qemu-img");
    }
}

#[test]
fn every_size_of_cluster_in_every_style() {
    for bits in 9..=21 {
        for style in [Style::V2, Style::V3, Style::ZSTD, Style::EXTENDED] {
            let style = style.with_bits(bits);
            if style.extended && bits < 14 {
                continue;
            }
            check(&format!("{style:?}"), &mixed(style));
        }
        let both = Style {
            extended: true,
            ..Style::ZSTD
        };
        if bits == 16 {
            check("both", &mixed(both.with_bits(bits)));
        }
    }
}

#[test]
fn a_disk_ends_anywhere_in_its_last_cluster() {
    for style in [Style::V2, Style::V3, Style::ZSTD, Style::EXTENDED] {
        let cluster = style.cluster();
        for cut in [1, 511, 512, 513, cluster / 2, cluster - 512, cluster - 1] {
            let last = [
                Cluster::Data(salted(cluster, 1)),
                Cluster::Packed(text(cluster, 2)),
                Cluster::Hole,
            ];
            for last in last {
                let clusters = [
                    (0, Cluster::Packed(text(cluster, 3))),
                    (1, Cluster::Data(salted(cluster, 2))),
                    (3, last.clone()),
                ];
                let image = Image::new(style, 4 * cluster - cut, &clusters);
                check(&format!("{style:?} without {cut} bytes"), &image);
            }
        }
    }
}

/// What is done to an image.
type Change = (&'static str, fn(&mut Image));

#[test]
fn what_does_not_concern_a_reader_is_let_be() {
    let changes: [Change; 9] = [
        ("dirty", |it| it.put64(72, 1)),
        ("lazy, and unknown compatible bits", |it| {
            it.put64(80, 0xff);
        }),
        ("unknown bits that are cleared", |it| it.put64(88, 0xff)),
        ("reference counts of one bit", |it| it.put32(96, 0)),
        ("reference counts of 64 bits", |it| it.put32(96, 6)),
        ("snapshots", |it| {
            it.put32(60, 3);
            it.put64(64, 4096);
        }),
        ("extensions", |it| {
            it.put32(104, 0x6803_f857);
            it.put32(108, 5);
            it.put32(120, 0x1234_5678);
            it.put32(124, 0);
        }),
        ("extensions that never end", |it| {
            for at in (104..4096).step_by(8) {
                it.put32(at, 0x1234_5678);
            }
        }),
        ("entries beyond the disk", |it| {
            let last = it.raw.len() / 4096 - 1;
            let at = it.entry(last) + 8;
            it.put64(at, u64::MAX);
        }),
    ];
    for (name, change) in changes {
        let lab = Lab::new();
        let (source, target) = (lab.path("source.qcow2"), lab.path("target.raw"));
        let mut image = mixed(Style::V3);
        change(&mut image);
        fs::write(&source, &image.bytes).unwrap();
        let done = convert(&source, &target, 2);
        assert!(done.is_ok(), "{name}: {done:?}");
        assert_sparse(&target, &image.raw, name);
    }
}

/// Sectors are counted, but the last one need not be there.
#[test]
fn a_file_may_end_with_its_last_compressed_byte() {
    for style in [Style::V2, Style::ZSTD] {
        let image = mixed(style);
        assert!(!image.bytes.len().is_multiple_of(512), "{style:?}");
        check(&format!("{style:?}"), &image);
    }
}

#[test]
fn nothing_is_a_disk_and_takes_nothing() {
    check("no bytes", &Image::new(Style::V3, 0, &[]));
    check("one byte", &Image::new(Style::V2, 1, &[]));
    let lab = Lab::new();
    let (source, target) = (lab.path("source.qcow2"), lab.path("target.raw"));
    // 8 TiB: their first table has 16384 entries, and there is nothing behind them.
    let mut image = Image::new(Style::V3.with_bits(16), 1 << 16, &[]);
    image.put64(24, 8 << 40);
    image.put32(36, 1 << 14);
    image.bytes.resize(image.l1 + (8 << 14), 0);
    fs::write(&source, &image.bytes).unwrap();
    let start = Instant::now();
    let survey = convert(&source, &target, 2).unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!((survey.size, survey.allocated()), (8 << 40, 0));
    assert_eq!(fs::metadata(&target).unwrap().len(), 8 << 40);
    assert_eq!(allocated(&target), 0);
}
