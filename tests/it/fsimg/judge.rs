//! Programs of others, and the kernel.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use distro_fetch::archive::Limits;
use distro_fetch::tree::{Tree, TreeDigest};

/// Whether a judge works here. In CI it must.
pub(super) fn required(what: &str, works: bool) -> bool {
    let must = std::env::var_os("CI").is_some();
    assert!(works || !must, "{what} does not work, and this is CI");
    if !works {
        eprintln!("skipped: {what} does not work here");
    }
    works
}

/// Whether a program is there.
pub(super) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("-V").output();
    required(program, found.is_ok())
}

/// What `fsck.erofs` says, which must be nothing bad.
pub(super) fn fsck(image: &Path, devices: &[&Path]) {
    if !has("fsck.erofs") {
        return;
    }
    let mut command = Command::new("fsck.erofs");
    for device in devices {
        command.arg(format!("--device={}", device.display()));
    }
    run(command.arg("--extract").arg(image));
}

/// Runs a program that must not fail; its output.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stdout}{stderr}");
    stdout
}

pub(super) fn digest(tree: &Tree) -> TreeDigest {
    tree.digest(NonZeroUsize::MIN, |_, _| Ok(())).unwrap()
}

/// The digest of what the kernel shows of an image, if it mounts images here.
pub(super) fn mounted(kind: &str, image: &Path) -> Option<TreeDigest> {
    with_mount(kind, image, |root| {
        let tree = Tree::of_directory(root, Limits::default(), || Ok(())).unwrap();
        digest(&tree)
    })
}

/// Has something look at what the kernel shows of an image, if it mounts images here: who is not
/// root, or has no loop devices, sees nothing.
pub(super) fn with_mount<T>(kind: &str, image: &Path, look: impl FnOnce(&Path) -> T) -> Option<T> {
    if !mounts(kind) {
        eprintln!("skipped: no {kind} is mounted here");
        return None;
    }
    let mount = Mount::of(kind, image).unwrap();
    Some(look(&mount.0))
}

/// The digest of what an overlay mount of the images of layers shows, the lowest first.
pub(super) fn overlaid(images: &[&Path]) -> Option<TreeDigest> {
    if !mounts("erofs") || !mounts("overlay") {
        eprintln!("skipped: no overlay is mounted here");
        return None;
    }
    let layers: Vec<_> = images
        .iter()
        .map(|it| Mount::of("erofs", it).unwrap())
        .collect();
    let paths: Vec<_> = layers
        .iter()
        .rev()
        .map(|it| it.0.to_str().unwrap())
        .collect();
    let options = format!("ro,lowerdir={}", paths.join(":"));
    let whole = Mount::new(&["-t", "overlay", "-o", &options, "overlay"]).unwrap();
    let tree = Tree::of_directory(&whole.0, Limits::default(), || Ok(())).unwrap();
    let digest = digest(&tree);
    drop(whole);
    Some(digest)
}

/// Whether the kernel knows a file system and we may mount.
fn mounts(kind: &str) -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let known = known
        .lines()
        .any(|line| line.ends_with(&format!("\t{kind}")));
    let may = *MAY.get_or_init(|| {
        // Whether there are loop devices is another question than whether an image is right.
        let found = Command::new("losetup").arg("--find").output();
        rustix::process::geteuid().is_root() && found.is_ok_and(|it| it.status.success())
    });
    known && may
}

/// A mount, until it goes.
struct Mount(std::path::PathBuf);

impl Mount {
    fn of(kind: &str, image: &Path) -> Result<Self, String> {
        Self::new(&["-t", kind, "-o", "loop,ro", image.to_str().unwrap()])
    }

    fn new(arguments: &[&str]) -> Result<Self, String> {
        let name = format!("df-mount-{}", distro_fetch::sys::unique_suffix());
        let point = std::env::temp_dir().join(name);
        std::fs::create_dir(&point).unwrap();
        let mount = Self(point);
        let mut command = Command::new("mount");
        let output = command.args(arguments).arg(&mount.0).output().unwrap();
        if output.status.success() {
            return Ok(mount);
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}
