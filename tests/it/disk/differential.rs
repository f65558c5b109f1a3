//! Images that qemu-img and qemu-io make at random, and the disk that qemu-img finds in them
//! (HOSTILE 83).

use std::fs;
use std::path::Path;
use std::process::Command;

use super::kit::{assert_sparse, convert, folder, have, judge, names, salted};
use crate::harness::Lab;

const IMAGES: u64 = 40;

/// Numbers that are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

/// One image: its options, and what is done to it.
struct Plan {
    options: String,
    size: u64,
    bits: u32,
    rounds: Vec<Vec<String>>,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        dice.roll(2);
        // Every size of cluster comes up.
        let bits = 9 + u32::try_from(seed % 13).unwrap();
        let is_old = dice.roll(4) == 0;
        let mut options = format!("cluster_size={}", 1 << bits);
        if is_old {
            options += ",compat=0.10";
        } else {
            options += ",compat=1.1";
            if dice.roll(2) == 0 {
                options += ",compression_type=zstd";
            }
            if dice.roll(3) == 0 {
                options += ",lazy_refcounts=on";
            }
            if bits >= 14 && dice.roll(2) == 0 {
                options += ",extended_l2=on";
            }
            options += &format!(",refcount_bits={}", 1 << dice.roll(7));
        }
        let preallocation = *dice.one(&["off", "off", "metadata", "falloc"]);
        options += &format!(",preallocation={preallocation}");
        let cluster = 1_u64 << bits;
        let clusters = 5 + dice.roll(if bits < 16 { 200 } else { 12 });
        let size = (clusters * cluster).max(1 << 16)
            - dice.roll(3) * 512 * dice.roll(16).min(cluster / 512 - 1);
        let rounds = 1 + dice.roll(3);
        let rounds = (0..rounds)
            .map(|_| {
                (0..=dice.roll(10))
                    .map(|_| step(&mut dice, size, cluster))
                    .collect()
            })
            .collect();
        Self {
            options,
            size,
            bits,
            rounds,
        }
    }

    fn make(&self, image: &Path, noise: &Path) {
        let path = image.to_str().unwrap();
        let size = self.size.to_string();
        judge(
            "qemu-img",
            &[
                "create",
                "-q",
                "-f",
                "qcow2",
                "-o",
                &self.options,
                path,
                &size,
            ],
        );
        for (nth, steps) in self.rounds.iter().enumerate() {
            let mut arguments = vec!["-f", "qcow2", "-d", "unmap"];
            let steps: Vec<_> = steps
                .iter()
                .map(|step| step.replace("NOISE", noise.to_str().unwrap()))
                .collect();
            for step in &steps {
                arguments.extend(["-c", step]);
            }
            arguments.push(path);
            // A cluster that is in use cannot become a compressed one: that is an error, and
            // whatever is there then is the disk.
            let output = Command::new("qemu-io").args(&arguments).output().unwrap();
            assert!(output.stderr.is_empty(), "{}: {output:?}", self.options);
            // With one bit nothing is in use twice.
            if nth % 2 == 0 && !self.options.contains("refcount_bits=1,") {
                judge("qemu-img", &["snapshot", "-c", &format!("s{nth}"), path]);
            }
        }
    }
}

/// Something that a guest does, or qemu-img convert.
fn step(dice: &mut Dice, size: u64, cluster: u64) -> String {
    let sectors = size / 512;
    let start = dice.roll(sectors);
    let longest = (sectors - start).min(4 * (cluster / 512).max(16));
    let length = 1 + dice.roll(longest);
    let (at, length) = (start * 512, length * 512);
    let pattern = 1 + dice.roll(254);
    match dice.roll(9) {
        0 => format!("write -z {at} {length}"),
        1 => format!("write -z -u {at} {length}"),
        2 => format!("discard {at} {length}"),
        3 => format!("write -P 0 {at} {length}"),
        4 | 5 => {
            let nth = dice.roll(size / cluster);
            format!("write -c -P {pattern} {} {cluster}", nth * cluster)
        }
        6 | 7 => format!("write -s NOISE {at} {length}"),
        _ => format!("write -P {pattern} {at} {length}"),
    }
}

#[test]
fn qemu_img_finds_the_same_disk() {
    if !have("qemu-img") || !have("qemu-io") {
        return;
    }
    let lab = Lab::new();
    let noise = lab.path("noise");
    fs::write(&noise, salted(1 << 20, 1)).unwrap();
    for seed in 0..IMAGES {
        let plan = Plan::new(seed);
        let place = folder(&lab, "place");
        let (image, packed) = (place.join("image.qcow2"), place.join("packed.qcow2"));
        plan.make(&image, &noise);
        let when = format!(
            "seed {seed}, {} bytes, {}: {:?}",
            plan.size, plan.options, plan.rounds
        );
        // Once more, as images are given out.
        let options: Vec<_> = plan
            .options
            .split(',')
            .filter(|it| !it.starts_with("prealloc") && !it.starts_with("lazy"))
            .collect();
        let mut arguments = vec!["convert", "-c", "-f", "qcow2", "-O", "qcow2", "-o"];
        let options = options.join(",");
        let paths = [image.to_str().unwrap(), packed.to_str().unwrap()];
        arguments.extend([&*options, paths[0], paths[1]]);
        judge("qemu-img", &arguments);
        let theirs = place.join("theirs.raw");
        judge(
            "qemu-img",
            &[
                "convert",
                "-f",
                "qcow2",
                "-O",
                "raw",
                paths[0],
                theirs.to_str().unwrap(),
            ],
        );
        let raw = fs::read(&theirs).unwrap();
        assert_eq!(raw.len() as u64, plan.size, "{when}");
        for source in [&image, &packed] {
            let ours = place.join("ours.raw");
            if let Err(error) = convert(source, &ours, 1 + usize::try_from(seed % 4).unwrap()) {
                panic!("{when}: {error}");
            }
            assert_sparse(&ours, &raw, &format!("2^{} {when}", plan.bits));
            fs::remove_file(&ours).unwrap();
        }
        assert_eq!(
            names(&place),
            ["image.qcow2", "packed.qcow2", "theirs.raw"],
            "{when}"
        );
        fs::remove_dir_all(&place).unwrap();
    }
}
