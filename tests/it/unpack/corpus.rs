//! Every file of the corpus through the program: a verdict in time, and a neighbourhood that does
//! not change (HOSTILE 36–66).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use distro_fetch::archive::Format;

use super::kit::{NOBODY, Scene, as_somebody, have_somebody_else, is_root};
use super::snapshot::{Snapshot, assert_same, snapshot};
use crate::harness::{Said, said, shared};

/// What the room says of each file: see there.
const VERDICTS: &str = include_str!("../archive/verdicts.txt");

/// What an attack ends with.
enum Verdict {
    /// Exit code 9, and this in the message.
    No(&'static str),
    /// These names, sorted, and no others.
    Yes(&'static [&'static str]),
}
use Verdict::{No, Yes};

/// Every file of the manifest.
const ATTACKS: &[(&str, Verdict)] = &[
    ("01-absolute-path", No("it is absolute")),
    ("02-dotdot", No("climbs out")),
    ("03-dotdot-mid", No("climbs out")),
    ("05-symlink-abs-write-through", No("contradicts")),
    ("06-symlink-rel-write-through", No("contradicts")),
    ("07-symlink-file-overwrite", Yes(&["f"])),
    ("09-symlink-dir-chmod", No("contradicts")),
    ("10-hardlink-outside-rel", No("climbs out")),
    ("11-hardlink-outside-abs", No("it is absolute")),
    ("13-hardlink-symlink-chain", No("no earlier entry")),
    (
        "14-hardlink-to-symlink-then-chmod",
        No("not a regular file"),
    ),
    ("15-dir-then-symlink-cache", No("contradicts")),
    ("17-backslash-name", No("contradicts")),
    ("18-unicode-nfc-nfd", No("contradicts")),
    ("19-root-is-symlink", No("root of a tree is a directory")),
    ("21-empty-name", No("without a name")),
    ("22-rootfs-dup-symlink", No("contradicts")),
    (
        "23-templates-symlink",
        Yes(&["metadata.yaml", "rootfs", "templates"]),
    ),
    ("25-case-collision", Yes(&["README", "readme"])),
    ("26-chardev", Yes(&["null"])),
    ("27-blockdev", Yes(&["sda"])),
    ("29-whiteout-chardev-0-0", Yes(&["wh"])),
    ("30-setuid-root", Yes(&["su"])),
    ("31-xattr-capability", Yes(&["ping"])),
    ("33-pax-size-desync-zero", Yes(&["a.bin"])),
    ("34-pax-size-nonzero", Yes(&["a.bin"])),
    ("35-pax-size-on-longlink", Yes(&["file_b", "longname.txt"])),
    ("37-pax-linkpath-override", No("contradicts")),
    ("38-pax-global-path", No("for all entries that follow")),
    ("39-pax-and-gnu-longname", No("two names")),
    ("41-pax-nul-path", No("a NUL in")),
    ("42-gnu-long-nul", No("NUL")),
    ("43-name-nul-middle", No("NUL within the name")),
    ("45-control-chars-name", Yes(&["a\n\u{1b}[2Jb"])),
    ("46-long-name-300", No("too long")),
    ("47-deep-4096", No("the limit is")),
    ("49-size-overflow", No("size is too large")),
    ("50-size-negative", No("size is negative")),
    ("51-huge-size-truncated", No("ends within the data")),
    ("53-one-zero-block", Yes(&["a"])),
    ("54-trailing-garbage", Yes(&["a"])),
    ("55-second-archive-after-end", Yes(&["a"])),
    ("57-truncated-mid-header", No("ends within a header")),
    ("58-bad-checksum", No("wrong checksum")),
    ("59-all-zero", No("no entry in it")),
    ("61-unknown-typeflag", No("unknown type 'Q'")),
    ("62-symlink-loop", No("contradicts")),
    ("63-self-hardlink", No("that is itself")),
    ("65-file-as-dir", No("contradicts")),
    ("66-wh-dotdot", Yes(&[".wh...", "etc", "etc/passwd"])),
    ("67-wh-dot", Yes(&["etc", "etc/.wh..", "etc/passwd"])),
    ("69-wh-through-symlink", No("contradicts")),
    ("70-opq-through-symlink", No("contradicts")),
    ("71-wh-slash", No("climbs out")),
    ("73-mtime-negative-huge", No("wrong checksum")),
    ("74-gnu-sparse-bomb", No("the limit is")),
    ("75-many-empty-files", No("more than 5000 entries")),
    ("77-huge-longname", No("the limit is")),
    ("78-dash-name", Yes(&["--checkpoint-action=exec=sh", "-rf"])),
    ("79-proc-symlink", No("contradicts")),
];

/// Where we differ from what the manifest asks for, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "23-templates-symlink",
        "a link at the top is a link: it is for Incus, which writes through it, to refuse",
    ),
    (
        "43-name-nul-middle",
        "two readings of one name are refused instead of choosing one",
    ),
    (
        "66-wh-dotdot",
        "no layer: outside of an image whiteouts are ordinary files",
    ),
    ("67-wh-dot", "the same"),
];

/// What attacks aim at by its absolute name.
const FIXED: &str = "/tmp/df-attack-outside";
/// What must not appear.
const CANARIES: [&str; 2] = ["/tmp/df-canary-abs", "/df-canary-rootfs"];

/// A scene, with something outside of the target that an attack would like to change.
struct Range {
    scene: Scene,
    /// Where targets are, as the attacks expect it: `../outside` is beside a target.
    place: PathBuf,
    before: Snapshot,
}

impl Range {
    fn new() -> Self {
        let scene = Scene::new();
        let place = scene.theirs();
        let outside = place.join("outside");
        fs::create_dir_all(outside.join("dir700/below")).unwrap();
        fs::write(outside.join("victim"), "untouched").unwrap();
        fs::hard_link(outside.join("victim"), outside.join("victim2")).unwrap();
        fs::write(outside.join("dir700/below/file"), "untouched").unwrap();
        fs::set_permissions(outside.join("victim"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(outside.join("dir700"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink("victim", outside.join("link")).unwrap();
        if is_root() {
            // Nothing but care keeps the ordinary user out.
            for node in snapshot(&outside).keys() {
                let path = outside.join(node);
                std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let before = snapshot(&outside);
        Self {
            scene,
            place,
            before,
        }
    }

    /// What everything but root's directories looks like now.
    fn check(&self, target: &Path, said: &Said, took: Duration, when: &str) {
        let Said { code, stderr, .. } = said;
        assert!(took < Duration::from_secs(60), "{when}: {took:?}");
        assert!(matches!(code, Some(0 | 9)), "{when}: {code:?} {stderr}");
        assert!(!stderr.contains("panicked"), "{when}: {stderr}");
        let strange = |c: char| c.is_control() && c != '\n';
        assert!(!stderr.contains(strange), "{when}: {stderr:?}");
        assert_same(&snapshot(&self.place.join("outside")), &self.before, when);
        let mut names: Vec<_> = fs::read_dir(&self.place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        let mut expect = vec!["outside".into()];
        if *code == Some(0) {
            expect.push(target.file_name().unwrap().to_owned());
        }
        assert_eq!(names, expect, "{when}");
        for canary in CANARIES {
            assert!(fs::symlink_metadata(canary).is_err(), "{when}: {canary}");
        }
        if *code == Some(0) {
            distro_fetch::sys::clear_away(target).unwrap();
        }
    }
}

/// A directory with the absolute name that attacks know, if nobody else has it.
struct Fixed(bool);

impl Fixed {
    fn new() -> Self {
        let made = fs::create_dir(FIXED).is_ok();
        if made {
            fs::write(Path::new(FIXED).join("victim"), "untouched").unwrap();
        }
        Self(made)
    }

    fn look(&self) -> Option<Snapshot> {
        self.0.then(|| snapshot(Path::new(FIXED)))
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        if self.0 {
            let _ = fs::remove_dir_all(FIXED);
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// As whoever tests: archives, streams that are none, disk images, texts.
#[test]
fn no_file_of_the_corpus_does_harm() {
    let Some(corpus) = shared("corpus") else {
        return;
    };
    let range = Range::new();
    let (mut yes, mut no) = (0, 0);
    for path in files(&corpus) {
        let name = path.strip_prefix(&corpus).unwrap().to_str().unwrap();
        if name.starts_with("own-tar-attacks") {
            continue;
        }
        let target = range.place.join("target");
        let start = Instant::now();
        let said = range.scene.unpack(&path, &target, &[]);
        range.check(&target, &said, start.elapsed(), name);
        match said.code {
            Some(0) => yes += 1,
            _ => no += 1,
        }
        // What the reader refuses nobody unpacks. By the first bytes one finds more than the
        // room's test, which believes names, and a stream that is no tar is only decoded there.
        let row = VERDICTS.lines().find_map(|line| line.strip_prefix(name));
        let row = row.unwrap_or_default();
        if Format::of_file_name(name).is_some() && row.starts_with(": refused") {
            assert_eq!(said.code, Some(9), "{name}{row}");
        }
    }
    assert!(yes > 60 && no > 200, "{yes} {no}");
    eprintln!("{yes} unpacked, {no} refused");
}

#[test]
fn every_attack_ends_as_the_manifest_asks() {
    let Some(folder) = shared("corpus/own-tar-attacks") else {
        return;
    };
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    let manifest: Vec<serde_json::Value> = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest.len(), ATTACKS.len(), "an attack without a verdict");
    let range = Range::new();
    let fixed = Fixed::new();
    let before = fixed.look();
    let users: &[bool] = if is_root() && have_somebody_else() {
        &[false, true]
    } else {
        &[false]
    };
    for row in &manifest {
        let file = row["file"].as_str().unwrap();
        let name = file.split(".tar").next().unwrap();
        let (_, verdict) = ATTACKS.iter().find(|it| it.0 == name).unwrap();
        let asked = row["expect"].as_str().unwrap();
        let differs = DIFFERENCES.iter().any(|it| it.0 == name);
        assert_eq!(disagree(verdict, asked), differs, "{name}: {asked}");
        for as_user in users {
            let when = format!("{file}, as an ordinary user: {as_user}");
            let target = range.place.join("target");
            let mut command = range.scene.program();
            command.args(["unpack", "--max-entries", "5000", "--quiet"]);
            command.arg(folder.join(file)).arg(&target);
            if *as_user {
                command = as_somebody(&command);
            }
            let start = Instant::now();
            let said = said(&mut command);
            let took = start.elapsed();
            match verdict {
                No(why) => {
                    assert_eq!(said.code, Some(9), "{when}: {}", said.stderr);
                    assert!(said.stderr.contains(why), "{when}: {}", said.stderr);
                }
                Yes(names) => {
                    assert_eq!(said.code, Some(0), "{when}: {}", said.stderr);
                    as_told(&snapshot(&target), names, *as_user || !is_root(), &when);
                }
            }
            range.check(&target, &said, took, &when);
            assert_eq!(fixed.look(), before, "{when}");
        }
    }
}

/// Whether a verdict is another one than the manifest asks for.
fn disagree(verdict: &Verdict, asked: &str) -> bool {
    if asked.contains(" or ") {
        return false;
    }
    let first = asked.split([' ', ';', ':']).next().unwrap();
    let refuses = [
        "reject",
        "error",
        "clean",
        "limit",
        "UnexpectedEof",
        "entry-count",
    ];
    let is_refused = matches!(verdict, No(_));
    let keeps = [
        "kept",
        "both",
        "only",
        "accept",
        "cut",
        "longname.txt,",
        "recognised",
    ];
    refuses.contains(&first) && !is_refused || keeps.contains(&first) && is_refused
}

/// The names, and what a device or a privilege became.
fn as_told(tree: &Snapshot, names: &[&str], rootless: bool, when: &str) {
    let found: Vec<_> = tree
        .keys()
        .map(|name| std::str::from_utf8(name.as_os_str().as_bytes()).unwrap())
        .filter(|name| !name.is_empty())
        .collect();
    let is_device = |name: &str| ["null", "sda", "wh"].contains(&name);
    if rootless && names.iter().any(|name| is_device(name)) {
        // Never an empty file in the place of one.
        assert_eq!(found, [] as [&str; 0], "{when}");
        return;
    }
    assert_eq!(found, names, "{when}");
    for (name, node) in tree {
        let name = name.to_str().unwrap_or_default();
        assert_eq!(
            matches!(node.kind, 'c' | 'b'),
            is_device(name),
            "{when}: {node:?}"
        );
        let privileged = node.mode & 0o6000 != 0 || node.xattrs.contains_key("security.capability");
        let expect = ["su", "ping"].contains(&name) && !rootless;
        assert_eq!(privileged, expect, "{when}: {node:?}");
    }
}
