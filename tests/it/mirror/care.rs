//! Damage is found, told and repaired.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::kit::{LXC, MINI, MINI_FOLDER, World, is_servable, rootfs_gz};

/// Changes one byte of a file, and nothing that a glance would see.
fn flip(path: &Path, quietly: bool) {
    let before = fs::metadata(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    if quietly {
        let file = File::open(path).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
    }
    fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn a_touched_file_is_read_and_repaired() {
    let world = World::new();
    assert_eq!(world.run(&["--all", "--blobs"]).code, Some(0));
    flip(&world.at(MINI), false);
    let said = world.run(&["--all", "--blobs"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stdout
            .contains(&format!("repaired {}", world.at(MINI).display()))
    );
    let linked = format!("{MINI_FOLDER}/rootfs.tar.gz");
    assert!(world.read(MINI) == rootfs_gz("3.20"));
    assert!(
        world.read(&linked) == rootfs_gz("3.20"),
        "its other name, too"
    );
    let inode = |path: &str| fs::metadata(world.at(path)).unwrap().ino();
    assert_eq!(inode(MINI), inode(&linked));
    is_servable(&world.mirror, "repaired");
}

#[test]
fn verify_reads_what_looks_right() {
    let world = World::new();
    assert_eq!(world.run(&["--all"]).code, Some(0));
    let path = format!("{LXC}/rootfs.tar.xz");
    let good = world.read(&path);
    flip(&world.at(&path), true);
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.matches("present  ").count(), 4, "{said:?}");
    // Upstream has it no more, but the cache has.
    world.up.forget(&path);
    let said = world.run(&["--all", "--verify"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.matches("repaired ").count(), 1, "{said:?}");
    assert!(world.read(&path) == good);
    is_servable(&world.mirror, "verified");
}

#[test]
fn made_files_are_made_again() {
    let world = World::new();
    assert_eq!(world.run(&["--all"]).code, Some(0));
    let metadata = format!("{MINI_FOLDER}/incus.tar.xz");
    let (good, sums) = (world.read(&metadata), format!("{LXC}/SHA256SUMS"));
    let hashes = world.read(&sums);
    flip(&world.at(&metadata), false);
    fs::remove_file(world.at(&sums)).unwrap();
    fs::remove_file(world.at("index.html")).unwrap();
    fs::remove_dir_all(world.at("streams")).unwrap();
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(world.read(&metadata) == good);
    assert!(world.read(&sums) == hashes);
    assert!(world.at("index.html").is_file());
    is_servable(&world.mirror, "made again");
}

#[test]
fn a_copy_of_a_mirror_is_a_mirror() {
    let world = World::new();
    assert_eq!(world.run(&["--all", "--blobs"]).code, Some(0));
    // Without links and times, as many a copy is.
    let copy = world.lab.path("copy");
    for (name, (bytes, _)) in super::kit::tree(&world.mirror) {
        let path = copy.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let asked = world.up.requests();
    world.forget_cache();
    let said = crate::harness::said(&mut world.command_into(&copy, &["--all", "--blobs"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.matches("present  ").count(), 4, "{said:?}");
    assert_eq!(world.up.requests(), asked);
    is_servable(&copy, "a copy");
}

#[test]
fn verify_reads_what_is_pinned_no_more() {
    let world = World::new();
    assert_eq!(world.run(&["--all", "--blobs"]).code, Some(0));
    let path = format!("{LXC}/rootfs.tar.xz");
    flip(&world.at(&path), true);
    assert_eq!(world.run(&["ubuntu-26.04-raw"]).code, Some(0));
    let said = world.run(&["ubuntu-26.04-raw", "--verify"]);
    assert_eq!(said.code, Some(7), "{said:?}");
    for text in ["alpine-3.21 amd64 20260128_13:00", "does not pin it"] {
        assert!(said.stderr.contains(text), "{text}: {said:?}");
    }
}

/// A name that is a hash is nobody's but that hash's.
#[test]
fn blobs_are_what_they_are_called() {
    let world = World::new();
    assert_eq!(world.run(&["alpine-3.21"]).code, Some(0));
    let bytes = world.read(&format!("{LXC}/rootfs.tar.xz"));
    let blob = format!("blobs/sha256/{}", crate::harness::sha256(&bytes));
    fs::create_dir_all(world.at("blobs/sha256")).unwrap();
    fs::write(world.at(&blob), "something else").unwrap();
    assert_eq!(world.run(&["alpine-3.21", "--blobs"]).code, Some(0));
    assert!(world.read(&blob) == bytes);
}

/// A link in the place of a file is damage, and is not followed.
#[test]
fn a_link_is_replaced_and_not_followed() {
    let world = World::new();
    assert_eq!(world.run(&["--all"]).code, Some(0));
    let victim = world.lab.path("victim");
    fs::write(&victim, "mine").unwrap();
    fs::remove_file(world.at(MINI)).unwrap();
    std::os::unix::fs::symlink(&victim, world.at(MINI)).unwrap();
    let said = world.run(&["--all"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("repaired "), "{said:?}");
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert!(!world.at(MINI).is_symlink());
    assert!(world.read(MINI) == rootfs_gz("3.20"));
}
