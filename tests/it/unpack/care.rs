//! `verify` and `cache` over prepared trees.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::kit::{have_somebody_else, is_root};
use super::prepared::Shop;
use super::snapshot::{assert_same, snapshot};

/// A change that no size and no name shows.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 7] = [
    ("mode", |tree| {
        fs::set_permissions(tree.join("user"), fs::Permissions::from_mode(0o644)).unwrap();
    }),
    ("mtime", |tree| {
        let file = File::options().write(true).open(tree.join("user"));
        let file = file.unwrap();
        let then = file.metadata().unwrap().modified().unwrap();
        file.set_modified(then + Duration::from_nanos(1)).unwrap();
    }),
    ("mtime of a directory", |tree| {
        let folder = File::open(tree.join("tmp")).unwrap();
        folder.set_modified(SystemTime::now()).unwrap();
    }),
    ("byte", |tree| {
        let path = tree.join("etc/hostname");
        let then = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, b"smalL\n").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(then).unwrap();
    }),
    ("link", |tree| {
        // The time of the directory is set back: only the second name is gone.
        let folder = File::open(tree.join("etc")).unwrap();
        let then = folder.metadata().unwrap().modified().unwrap();
        let name = tree.join("etc/name");
        let meta = fs::metadata(&name).unwrap();
        fs::remove_file(&name).unwrap();
        fs::write(&name, b"small\n").unwrap();
        fs::set_permissions(&name, meta.permissions()).unwrap();
        let file = File::options().write(true).open(&name).unwrap();
        file.set_modified(meta.modified().unwrap()).unwrap();
        folder.set_modified(then).unwrap();
    }),
    ("missing", |tree| {
        fs::remove_file(tree.join("etc/link")).unwrap();
    }),
    ("more", |tree| fs::write(tree.join("etc/more"), "").unwrap()),
];

fn check(shop: &Shop) {
    let good = snapshot(&shop.prepare());
    let said = shop.run(&["verify"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout.matches("ok       ").count(), 2, "{said:?}");
    for (what, damage) in DAMAGES {
        for repair in [false, true] {
            let when = format!("{what}, repair: {repair}");
            let tree = shop.prepare();
            damage(&tree);
            let arguments: &[&str] = if repair {
                &["verify", "--repair"]
            } else {
                &["verify"]
            };
            let said = shop.run(arguments);
            let word = if repair { "repaired" } else { "damaged " };
            assert!(
                said.stdout.contains(&format!("{word} {}", tree.display())),
                "{when}: {said:?}"
            );
            if repair {
                assert_eq!(said.code, Some(0), "{when}: {said:?}");
                assert_same(&snapshot(&tree), &good, &when);
            } else {
                assert_eq!(said.code, Some(7), "{when}: {said:?}");
                assert!(said.stderr.contains("damaged"), "{when}: {said:?}");
                assert!(!tree.exists(), "{when}");
            }
            assert_eq!(Shop::strangers(&tree), [] as [&str; 0], "{when}");
            assert_eq!(shop.run(&["verify"]).code, Some(0), "{when}");
        }
    }
}

#[test]
fn one_changed_bit_is_found() {
    check(&Shop::new());
}

#[test]
fn one_changed_bit_is_found_by_an_ordinary_user() {
    if is_root() && have_somebody_else() {
        check(&Shop::of_somebody());
    }
}

#[test]
fn closed_directories_go_with_their_entry() {
    let mut shops = vec![("whoever tests", Shop::new as fn() -> Shop)];
    if is_root() && have_somebody_else() {
        shops.push(("somebody", Shop::of_somebody));
    }
    for (who, shop) in shops {
        for arguments in [
            &["cache", "prune", "--all"][..],
            &["cache", "remove", "alpine-3.20"],
        ] {
            let when = format!("{who}: {arguments:?}");
            let shop = shop();
            let tree = shop.prepare();
            let mode = fs::metadata(tree.join("closed")).unwrap().mode() & 0o7777;
            assert_eq!(mode, 0, "{when}");
            let said = shop.run(arguments);
            assert_eq!(said.code, Some(0), "{when}: {said:?}");
            let entry = tree.parent().unwrap().parent().unwrap();
            assert!(!entry.exists(), "{when}: {said:?}");
            let listed = shop.run(&["cache", "list"]);
            assert!(!listed.stdout.contains("alpine"), "{when}: {listed:?}");
            // And can come back.
            assert!(shop.prepare().join("etc/hostname").exists(), "{when}");
        }
    }
}
