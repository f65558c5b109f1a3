//! What the kernel makes of an image, where it lets us mount one.

use std::path::{Path, PathBuf};
use std::process::Command;

use distro_fetch::archive::Limits;
use distro_fetch::fsimg::ext4::Options;
use distro_fetch::tree::{Thing, Tree};

use super::ext4::dump;
use super::kit::{Bench, EMPTY, Planting, fsck, zoo};

/// A mounted image; unmounted with its value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(bench: &Bench, image: &Path, options: &str) -> Option<Self> {
        let at = bench.path("mounted");
        std::fs::create_dir_all(&at).unwrap();
        let output = Command::new("mount")
            .args(["-t", "ext4", "-o", options])
            .arg(image)
            .arg(&at)
            .output();
        match output {
            Ok(output) if output.status.success() => Some(Self(at)),
            other => {
                eprintln!("skipped: no loop mount on this machine: {other:?}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(status.is_ok_and(|it| it.success()));
    }
}

/// What a directory has, without the kernel's own `lost+found`.
fn tree_at(path: &Path) -> String {
    let tree = Tree::of_directory(path, Limits::default(), || Ok(())).unwrap();
    let text = dump(&tree);
    let lines = text.lines().filter(|line| !line.ends_with(" - lost+found"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_kernel_sees_the_tree() {
    let bench = Bench::new();
    let tree = zoo();
    for journal in [false, true] {
        let options = Options {
            size: journal.then_some(32 << 20),
            journal,
            ..Options::default()
        };
        let (path, _) = bench.image("zoo", &tree, &options);
        let Some(mounted) = Mounted::new(&bench, &path, "loop,ro") else {
            return;
        };
        assert_eq!(tree_at(&mounted.0), dump(&tree));
        for name in ["hello", "sparse", "hole", "empty", "over"] {
            let mut expect = Vec::new();
            let stored = tree.find(name.as_bytes()).unwrap().open().unwrap();
            std::io::Read::read_to_end(&mut stored.content(), &mut expect).unwrap();
            assert!(
                std::fs::read(mounted.0.join(name)).unwrap() == expect,
                "{name}"
            );
        }
    }
}

/// It finds every name by its hash, and goes on where we stopped.
#[test]
fn the_kernel_writes_into_it() {
    let bench = Bench::new();
    let mut planting = Planting::new();
    for nth in 0..10_000 {
        planting.add(
            format!("crowd/{nth:0250}"),
            if nth % 9 == 0 { Thing::Folder } else { EMPTY },
        );
    }
    for nth in 0..50 {
        planting.with(format!("shared/{nth}"), EMPTY, &[], |it| {
            it.xattrs.insert(b"user.same".to_vec(), vec![9; 1000]);
        });
    }
    let tree = planting.tree();
    for size in [128 << 20, (128 << 20) + 4096] {
        let options = Options {
            size: Some(size),
            journal: size == 128 << 20,
            ..Options::default()
        };
        let (path, _) = bench.image("crowd", &tree, &options);
        let Some(mounted) = Mounted::new(&bench, &path, "loop") else {
            return;
        };
        let crowd = mounted.0.join("crowd");
        for nth in 0..10_000 {
            assert!(crowd.join(format!("{nth:0250}")).exists(), "{nth}");
        }
        for nth in 0..3_000 {
            std::fs::write(crowd.join(format!("new-{nth:0200}")), vec![1; 5000]).unwrap();
            let _ = std::fs::remove_file(crowd.join(format!("{:0250}", nth * 3 + 1)));
        }
        std::fs::write(mounted.0.join("shared/1"), b"more").unwrap();
        std::fs::remove_file(mounted.0.join("shared/2")).unwrap();
        assert!(std::fs::read_dir(&crowd).unwrap().count() >= 10_000);
        drop(mounted);
        fsck(&path);
    }
}
