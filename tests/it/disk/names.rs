//! Names in images: nothing of what an image names is opened, and nobody is called (HOSTILE 80–82).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kit::{Image, Style, folder, mixed, names, run};
use crate::crash::strace;
use crate::harness::{Lab, Said, distro_fetch, said, sha256, shared};

/// Converts under strace: what was said, and every path that was opened besides the image itself
/// and what a program of this machine opens. A socket is a path, too.
pub(super) fn watched(
    lab: &Lab,
    source: &Path,
    target: &Path,
    more: &[&str],
) -> (Said, Vec<String>) {
    let log = lab.path("strace.log");
    let mut command = distro_fetch();
    command.arg("convert").arg(source).arg("-o").arg(target);
    command.args(more);
    let trace = [
        "-e",
        "trace=openat,open,openat2,creat,connect,socket,execve",
    ];
    let mut traced = strace::under(&trace, &log, &command);
    // Whoever runs tests may say where libraries are.
    let said = said(traced.env_remove("LD_LIBRARY_PATH"));
    let text = fs::read_to_string(&log).unwrap();
    let place = target.parent().unwrap();
    let mut opened = Vec::new();
    for line in text.lines() {
        let Some((head, rest)) = line.split_once('(') else {
            continue;
        };
        let call = head.rsplit(' ').next().unwrap();
        let path = rest.split('"').nth(1).unwrap_or_default();
        let is_ours = Path::new(path) == source
            || Path::new(path) == place
            || call == "execve" && path == distro_fetch().get_program();
        let is_of_the_machine = call.starts_with("open")
            && (LIBRARIES.iter().any(|it| path.starts_with(it)) || MACHINE.contains(&path));
        if !is_ours && !is_of_the_machine {
            opened.push(format!("{call} {path}"));
        }
    }
    assert!(text.contains("openat("), "{text}");
    (said, opened)
}

/// Where libraries are, and what tells how many processors we may use.
const LIBRARIES: [&str; 7] = [
    "/lib/",
    "/lib64/",
    "/usr/lib/",
    "/usr/lib64/",
    "/usr/local/lib/",
    "/sys/fs/cgroup/",
    "/proc/self/",
];
const MACHINE: [&str; 3] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/sys/devices/system/cpu/online",
];

/// An image is refused by the program, in silence.
pub(super) fn check_refused(lab: &Lab, source: &Path, more: &[&str]) -> String {
    let name = source.file_name().unwrap().to_str().unwrap();
    let place = folder(lab, "place");
    let target = place.join("target.raw");
    let plain = run(source, &target, more);
    assert_eq!(plain.code, Some(9), "{name}: {plain:?}");
    assert_eq!(plain.stdout, "", "{name}");
    assert!(!plain.stderr.contains("panicked"), "{name}: {plain:?}");
    assert_eq!(names(&place), [] as [&str; 0], "{name}: litter");
    if strace::works() {
        let (said, opened) = watched(lab, source, &target, more);
        assert_eq!(said.code, Some(9), "{name}: {said:?}");
        assert_eq!(opened, [] as [&str; 0], "{name}");
        assert_eq!(names(&place), [] as [&str; 0], "{name}: litter");
    }
    fs::remove_dir(&place).unwrap();
    plain.stderr
}

/// An image that names another file as its backing one, or as the one of its data.
fn naming(name: &str, external: bool) -> Image {
    let mut image = mixed(Style::V3);
    let length = u32::try_from(name.len()).unwrap();
    let at = 104;
    if external {
        image.put64(72, 4);
        image.put32(at, 0x4441_5441);
        image.put32(at + 4, length);
    } else {
        image.put64(8, at as u64 + 8);
        image.put32(16, length);
    }
    image.bytes[at + 8..][..name.len()].copy_from_slice(name.as_bytes());
    image
}

#[test]
fn no_name_is_followed() {
    let lab = Lab::new();
    let victim = lab.path("victim");
    fs::write(&victim, "secret").unwrap();
    let victim = victim.to_str().unwrap();
    let json = format!(r#"json:{{"driver":"file","filename":"{victim}"}}"#);
    for name in [
        "/etc/passwd",
        victim,
        "victim",
        "nbd://127.0.0.1:10809/x",
        "http://127.0.0.1:1/x",
        &json,
        "fd:0",
        "",
    ] {
        for external in [false, true] {
            let source = lab.path("source.qcow2");
            fs::write(&source, naming(name, external).bytes).unwrap();
            let text = check_refused(&lab, &source, &[]);
            let why = if external { "external" } else { "backing" };
            assert!(text.contains(why), "{name}: {text}");
        }
    }
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
         createType=\"monolithicFlat\"\nRW 12 FLAT \"{victim}\" 0\n"
    );
    let source = lab.path("source.vmdk");
    fs::write(&source, descriptor).unwrap();
    check_refused(&lab, &source, &[]);
}

/// What a file is is said by somebody, and never found out.
#[test]
fn a_format_is_declared() {
    let lab = Lab::new();
    let image = mixed(Style::V3);
    let file = |name: &str| {
        let path = lab.path(name);
        fs::write(&path, &image.bytes).unwrap();
        path
    };
    let target = lab.path("target.raw");
    let converted = |source: &Path, more: &[&str]| {
        let _ = fs::remove_file(&target);
        let said = run(source, &target, more);
        assert_eq!(said.code, Some(0), "{source:?}: {said:?}");
        assert_eq!(said.stdout, format!("{}\n", target.display()));
        fs::read(&target).unwrap()
    };
    // A raw disk stays one.
    assert!(converted(&file("like.raw"), &[]) == image.bytes);
    let undecided = file("like.img");
    for (more, expect) in [
        (["--from", "raw"], &image.bytes),
        (["--from", "qcow2"], &image.raw),
    ] {
        assert!(converted(&undecided, &more) == *expect, "{more:?}");
    }
    assert!(converted(&file("like.QCOW2"), &[]) == image.raw);
    for name in ["like.img", "like", "like.bin"] {
        let text = check_refused(&lab, &file(name), &[]);
        assert!(text.contains("--from qcow2"), "{text}");
        assert!(text.contains("--from raw"), "{text}");
    }
    let plain = lab.path("plain.img");
    fs::write(&plain, &image.raw).unwrap();
    assert!(converted(&plain, &[]) == image.raw);
    fs::rename(&plain, lab.path("plain.qcow2")).unwrap();
    let text = check_refused(&lab, &lab.path("plain.qcow2"), &[]);
    assert!(text.contains("declared qcow2"), "{text}");
    for format in ["vmdk", "vhd", "vhdx"] {
        check_refused(&lab, &undecided, &["--from", format]);
    }
}

/// What becomes of each file of the manifest.
const VERDICTS: &[(&str, Result<(), &str>)] = &[
    ("good.qcow2", Ok(())),
    ("good-compressed.qcow2", Ok(())),
    ("good-zstd.qcow2", Ok(())),
    ("good-v2.qcow2", Ok(())),
    ("good-extl2.qcow2", Ok(())),
    ("backing-etc-passwd.qcow2", Err("backing file")),
    ("backing-json.qcow2", Err("backing file")),
    ("backing-nbd-ssrf.qcow2", Err("backing file")),
    ("backing-size-huge.qcow2", Err("backing file")),
    ("datafile-etc-passwd.qcow2", Err("external file")),
    ("incompat-corrupt.qcow2", Err("marked corrupt")),
    ("incompat-dirty.qcow2", Ok(())),
    ("version-9.qcow2", Err("qcow version 9")),
    ("cluster-bits-0.qcow2", Err("2^0")),
    ("cluster-bits-63.qcow2", Err("2^63")),
    ("l1-size-huge.qcow2", Err("first table has 2147483647")),
    ("size-max.qcow2", Err("a disk of 18446744073709551615")),
    ("l1-offset-out.qcow2", Err("outside")),
    ("l1-unaligned.qcow2", Err("not aligned")),
    ("l1-overlaps-header.qcow2", Err("overlaps the header")),
    ("l2-self-loop.qcow2", Err("overlaps the first table")),
    ("l2-all-same-cluster.qcow2", Err("overlaps")),
    ("l2-data-out.qcow2", Err("outside")),
    ("l2-reserved-bits.qcow2", Err("reserved bits")),
    ("compressed-truncated.qcow2", Err("outside")),
    (
        "compressed-cluster-bomb.qcow2",
        Err("larger than a cluster"),
    ),
    ("compressed-cluster-short.qcow2", Err("3 bytes instead of")),
    ("snapshots-huge.qcow2", Err("2147483647 snapshots")),
    ("refcount-order-99.qcow2", Err("2^99")),
    ("hdrlen-huge.qcow2", Err("a header of")),
    ("truncated-header.qcow2", Err("cut off")),
    ("magic-only.qcow2", Err("cut off")),
    ("raw-that-looks-like-qcow2.raw", Ok(())),
    ("vmdk-descriptor-flat.vmdk", Err("its extent")),
    ("gzip-named-qcow2.qcow2", Err("something else")),
    ("pat.raw", Ok(())),
];

const PATTERN: &str = "feb04f35";

#[test]
fn every_attack_has_its_verdict() {
    let Some(corpus) = shared("corpus/own-qcow2") else {
        return;
    };
    let manifest = fs::read(corpus.join("manifest.json")).unwrap();
    let manifest: Vec<Value> = serde_json::from_slice(&manifest).unwrap();
    let mut listed: Vec<_> = manifest
        .iter()
        .map(|it| it["file"].as_str().unwrap())
        .collect();
    let mut judged: Vec<_> = VERDICTS.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    judged.sort_unstable();
    assert_eq!(listed, judged, "an attack without a verdict");
    let lab = Lab::new();
    for (name, verdict) in VERDICTS {
        let source: PathBuf = corpus.join(name);
        if let Err(why) = verdict {
            let text = check_refused(&lab, &source, &[]);
            assert!(text.contains(why), "{name}: {text}");
            continue;
        }
        let place = folder(&lab, "place");
        let target = place.join("target.raw");
        let said = if strace::works() {
            let (said, opened) = watched(&lab, &source, &target, &[]);
            assert_eq!(opened, [] as [&str; 0], "{name}");
            said
        } else {
            run(&source, &target, &[])
        };
        assert_eq!(said.code, Some(0), "{name}: {said:?}");
        assert_eq!(names(&place), ["target.raw"], "{name}");
        let raw = fs::read(&target).unwrap();
        if *name == "raw-that-looks-like-qcow2.raw" {
            assert!(raw == fs::read(&source).unwrap(), "{name}");
        } else {
            let sum = sha256(&raw).to_string();
            assert!(sum.starts_with(PATTERN), "{name}: {sum}");
        }
        fs::remove_dir_all(&place).unwrap();
    }
}
