//! Docker's overlay2 directories, made by hand.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use distro_fetch::sys::{self, DeviceKind, Node};
use distro_fetch::{Kind, oci};

use super::kit::{Scratch, list, refusal, text};

/// A chain of directories, the lowest first; what has the topmost.
fn chain(scratch: &Scratch, fill: &[&dyn Fn(&Path)]) -> PathBuf {
    let root = scratch.path("overlay2");
    fs::create_dir_all(root.join("l")).unwrap();
    let mut lower: Vec<String> = Vec::new();
    for (at, fill) in fill.iter().enumerate() {
        let (id, short) = (format!("id{at}"), format!("SHORT{at}"));
        let diff = root.join(&id).join("diff");
        fs::create_dir_all(&diff).unwrap();
        fill(&diff);
        fs::write(root.join(&id).join("link"), &short).unwrap();
        if !lower.is_empty() {
            fs::write(root.join(&id).join("lower"), lower.join(":")).unwrap();
        }
        symlink(format!("../{id}/diff"), root.join("l").join(&short)).unwrap();
        lower.insert(0, format!("l/{short}"));
    }
    root.join(format!("id{}", fill.len() - 1))
}

fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
}

fn whiteout(path: &Path) -> bool {
    let dir = sys::open_folder(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap().as_encoded_bytes();
    sys::make_device(DeviceKind::Character, (0, 0), &dir, name).is_ok()
}

fn mark(path: &Path, name: &str, value: &str) -> bool {
    let file = fs::File::open(path).unwrap();
    let node = Node::Open(std::os::fd::AsFd::as_fd(&file));
    sys::set_xattr(node, name.as_bytes(), value.as_bytes()).is_ok()
}

#[test]
fn whiteouts_and_opaque_directories() {
    let scratch = Scratch::new();
    let mut able = true;
    let able = std::cell::Cell::new(std::mem::replace(&mut able, true));
    let also = |done: bool| able.set(able.get() && done);
    let space = if sys::is_root() { "trusted" } else { "user" };
    let top = chain(
        &scratch,
        &[
            &|it| {
                put(&it.join("a/x"));
                put(&it.join("b/x"));
                put(&it.join("c"));
                put(&it.join("kept"));
                fs::hard_link(it.join("kept"), it.join("linked")).unwrap();
            },
            &|it| {
                put(&it.join("a/y"));
                put(&it.join("b/y"));
                also(mark(&it.join("b"), &format!("{space}.overlay.opaque"), "y"));
                also(mark(&it.join("a"), &format!("{space}.overlay.opaque"), "x"));
                also(mark(&it.join("a"), &format!("{space}.overlay.origin"), "?"));
                also(whiteout(&it.join("c")));
            },
            &|it| {
                put(&it.join("top"));
                put(&it.join("gone"));
                also(mark(&it.join("gone"), "user.overlay.whiteout", "y"));
            },
        ],
    );
    if !able.get() {
        eprintln!("skipped: no attributes or no whiteouts here");
        return;
    }
    let expect = [
        "d a",
        "f a/x=x",
        "f a/y=y",
        "d b",
        "f b/y=y",
        "f kept=kept",
        "h linked->kept",
        "f top=top",
    ];
    let top = text(&top);
    assert_eq!(list(top).unwrap(), expect);
    assert_eq!(list(&format!("overlay2:{top}")).unwrap(), expect);
    let image = oci::open_overlay_folder(top.as_ref()).unwrap();
    assert_eq!((image.layers.len(), image.digest()), (3, None));
    // A layer alone is a directory like any other.
    let alone = list(&format!("file:{top}/diff")).unwrap();
    assert_eq!(alone, ["f gone=gone", "f top=top"]);
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (name, value) in [
        ("user.overlay.redirect", "/elsewhere"),
        ("user.overlay.metacopy", ""),
        ("user.overlay.overlay.opaque", "y"),
        ("trusted.overlay.redirect", "elsewhere"),
    ] {
        if name.starts_with("trusted") && !sys::is_root() {
            continue;
        }
        let scratch = Scratch::new();
        let done = std::cell::Cell::new(false);
        let top = chain(
            &scratch,
            &[&|it| put(&it.join("a")), &|it| {
                put(&it.join("b/x"));
                done.set(mark(&it.join("b"), name, value));
            }],
        );
        if !done.get() {
            eprintln!("skipped: no attributes here");
            continue;
        }
        let error = refusal(text(&top));
        assert_eq!(error.kind(), Kind::Format, "{name}");
        assert!(error.message().contains(name), "{error}");
    }
}

#[test]
fn broken_chains_are_refused() {
    for lower in [
        "l/NOWHERE",
        "l/../../x",
        "../x",
        "",
        "l/SHORT0:",
        "/etc",
        "l/OUT",
        "l/ABSOLUTE",
    ] {
        let scratch = Scratch::new();
        let top = chain(
            &scratch,
            &[&|it| put(&it.join("a")), &|it| put(&it.join("b"))],
        );
        let links = scratch.path("overlay2/l");
        fs::create_dir_all(scratch.path("x/diff")).unwrap();
        symlink("../../x/diff", links.join("OUT")).unwrap();
        symlink(scratch.path("x/diff"), links.join("ABSOLUTE")).unwrap();
        assert_eq!(list(text(&top)).unwrap(), ["f a=a", "f b=b"]);
        fs::write(top.join("lower"), lower).unwrap();
        assert_eq!(refusal(text(&top)).kind(), Kind::Format, "{lower:?}");
    }
}
