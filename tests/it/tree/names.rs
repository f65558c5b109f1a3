//! File systems that do not tell upper case from lower (HOSTILE 56).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use distro_fetch::Kind;
use distro_fetch::archive::Limits;

use super::ground::{Ground, Made, file, folder, hardlink, is_root, policy, skip, symlink, write};

#[test]
fn names_that_differ_in_case_are_two() {
    let ground = Ground::new();
    ground
        .write(&[
            file("a", "lower"),
            file("A", "upper"),
            folder("b"),
            file("B", ""),
        ])
        .unwrap();
    assert_eq!(fs::read(ground.target().join("a")).unwrap(), b"lower");
    assert_eq!(fs::read(ground.target().join("A")).unwrap(), b"upper");
}

#[test]
fn names_that_are_one_are_refused_with_both() {
    let ground = Ground::new();
    let Some(mount) = Mount::new(&ground) else {
        return skip("no loop mount of a case-insensitive ext4 here");
    };
    let refused = |name: &str, entries: &[Made]| {
        let target = mount.0.join("folded/target");
        let error = write(&target, entries, policy(), Limits::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{name}: {error}");
        let text = error.to_string();
        assert!(
            text.contains("case") && text.contains('A') && text.contains("\"a\""),
            "{text}"
        );
    };
    refused("files", &[file("a", ""), file("A", "")]);
    refused("folders", &[folder("a"), folder("A")]);
    refused("implied", &[file("a/x", ""), file("A/y", "")]);
    refused("link", &[symlink("a", "x"), file("A/y", "")]);
    refused(
        "hard link",
        &[file("x", ""), file("a", ""), hardlink("A", "x")],
    );
    // The same name twice is not a collision, and another target is none either.
    let fine = [file("a", "1"), file("a", "2"), folder("d"), folder("d")];
    write(
        &mount.0.join("folded/fine"),
        &fine,
        policy(),
        Limits::default(),
    )
    .unwrap();
    let apart = [file("a", "1"), file("A", "2")];
    write(&mount.0.join("apart"), &apart, policy(), Limits::default()).unwrap();
}

/// An ext4 with a folder that folds case, mounted; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(ground: &Ground) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let (image, place) = (ground.path("image"), ground.path("mount"));
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        fs::create_dir(&place).unwrap();
        let run = |program: &str, arguments: &[&Path]| {
            let mut command = Command::new(program);
            command
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.status().is_ok_and(|it| it.success())
        };
        let path = Path::new;
        run(
            "mkfs.ext4",
            &[path("-q"), path("-O"), path("casefold"), &image],
        )
        .then_some(())?;
        run("mount", &[path("-o"), path("loop"), &image, &place]).then_some(())?;
        let mount = Self(place);
        fs::create_dir(mount.0.join("folded")).unwrap();
        run("chattr", &[path("+F"), &mount.0.join("folded")]).then_some(mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
