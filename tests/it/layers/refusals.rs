//! What no layer may say. HOSTILE 66 to 71, 92.

use distro_fetch::Kind;
use distro_fetch::archive::{End, Limits, Reader};
use distro_fetch::tree::Dialect;

use super::kit::{layer, read, refusal, tar, words};
use crate::shared::shared;

#[test]
fn contradictions_within_a_layer() {
    for lines in [
        ["l a->b", "f a/x=1"].as_slice(),
        &["f a/x=1", "l a->b"],
        &["f a=1", "d a"],
        &["d a", "f a=1"],
        &["f a/.wh.x", "l a->b", "f a/y"],
        &["l a->b", "f a/.wh.x", "d a"],
        &["l .->b"],
        &["f ../x=1"],
        &["f /x=1"],
        &["f x/../../y=1"],
        &["f a=1", "h a->a"],
        &["d a", "h b->a"],
        &["c a", "h b->a"],
        &["h b->../a"],
    ] {
        let error = layer(lines).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{lines:?}");
    }
}

#[test]
fn whiteouts_of_no_name() {
    for name in [
        ".wh.",
        ".wh..",
        ".wh...",
        "a/.wh.",
        "a/.wh..",
        "a/.wh...",
        ".wh.a/b",
        ".wh.a/../../b",
        "a/.wh../b",
        ".wh..wh..opq/a",
    ] {
        let error = layer(&[&format!("f {name}")]).unwrap_err();
        assert_eq!(error.kind(), Kind::Format, "{name}");
    }
    assert!(
        layer(&["d .wh.a"]).is_err(),
        "a whiteout that is a directory"
    );
    let layer = layer(&["f .wh.a", "f b/.wh.c", "f ..wh.d", "f .whe"]).unwrap();
    assert_eq!(layer.whiteouts(), [b".wh.a"[4..].to_vec(), b"b/c".to_vec()]);
}

#[test]
fn links_that_lead_nowhere_in_lower_layers() {
    for layers in [
        [["h b->a"].as_slice()].as_slice(),
        &[&["f x=1"], &["h b->a"]],
        &[&["d a"], &["h b->a"]],
        &[&["l a->x", "f x=1"], &["h b->a"]],
        &[&["l a->x", "f x/y=1"], &["h b->a/y"]],
        &[&["f a=1"], &["f .wh.a"], &["h b->a"]],
        &[&[], &["h b->a", "f a=1"]],
        &[&["h b->a"], &["f a=1"]],
    ] {
        assert_eq!(refusal(layers).kind(), Kind::Format, "{layers:?}");
    }
}

/// Outside of layers these are files (HOSTILE, 66 of section 8).
#[test]
fn a_plain_archive_has_no_whiteouts() {
    let bytes = tar(&[
        "f a=1",
        "f .wh.a=x",
        "f .wh.=y",
        "d .wh..",
        "f .wh..wh..opq",
    ]);
    let tree = read(&bytes, Dialect::Plain).unwrap().into_tree().unwrap();
    assert_eq!(
        words(&tree),
        [
            "f .wh.=y",
            "d .wh..",
            "f .wh..wh..opq",
            "f .wh.a=x",
            "f a=1"
        ]
    );
    assert!(read(&tar(&["h a->b"]), Dialect::Plain).is_err());
}

#[test]
fn attack_files_are_refused() {
    let Some(corpus) = shared("corpus/own-tar-attacks") else {
        return;
    };
    for (name, sound) in [
        ("66-wh-dotdot.tar", false),
        ("67-wh-dot.tar", false),
        // Nothing is followed, and what the link hides is hidden already.
        ("69-wh-through-symlink.tar", true),
        ("70-opq-through-symlink.tar", true),
        ("71-wh-slash.tar", false),
        ("29-whiteout-chardev-0-0.tar", true),
        ("30-setuid-root.tar", true),
    ] {
        let bytes = std::fs::read(corpus.join(name)).unwrap();
        let layer = read(&bytes, Dialect::Layer);
        assert_eq!(layer.is_ok(), sound, "{name}: {layer:?}");
        assert!(
            layer.err().is_none_or(|it| it.kind() == Kind::Format),
            "{name}"
        );
    }
}

/// umoci's layers end without a marker, and without what fills the last block.
#[test]
fn where_an_archive_may_end() {
    let bytes = tar(&["f a=1", "f b=22"]);
    let read = |length: usize, end: End| {
        let mut reader = Reader::new(&bytes[..length], Limits::default()).with_end(end);
        let mut seen = 0;
        while reader.next_entry()?.is_some() {
            seen += 1;
        }
        reader.finish()?;
        Ok::<_, distro_fetch::Error>(seen)
    };
    assert_eq!(bytes.len(), 3072);
    for (length, expect) in [(1024, 1), (1536 + 2, 2), (2048, 2)] {
        assert!(read(length, End::Marked).is_err(), "{length}");
        assert_eq!(read(length, End::Anywhere).ok(), Some(expect), "{length}");
    }
    // Data, headers and blocks are whole, or it is refused.
    for length in [512, 700, 1536, 1536 + 1, 2048 + 100] {
        assert!(read(length, End::Anywhere).is_err(), "{length}");
    }
    assert_eq!(read(3072, End::Anywhere).ok(), Some(2));
}
