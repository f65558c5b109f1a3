//! What layers make together.

use super::kit::{merge, merged};

fn check(what: &str, layers: &[&[&str]], expect: &[&str]) {
    assert_eq!(merged(layers), expect, "{what}");
    // Where its whiteouts stand in a layer does not matter.
    for order in [sorted, reversed] {
        let layers: Vec<Vec<&str>> = layers.iter().map(|it| order(it)).collect();
        let layers: Vec<&[&str]> = layers.iter().map(Vec::as_slice).collect();
        assert_eq!(merged(&layers), expect, "{what}, marks elsewhere");
    }
}

fn is_mark(line: &&str) -> bool {
    line.contains(".wh.")
}

/// Whiteouts first.
fn sorted(lines: &[&str]) -> Vec<&'static str> {
    let (mut marks, mut rest): (Vec<_>, Vec<_>) = lines.iter().copied().partition(is_mark);
    marks.append(&mut rest);
    marks.into_iter().map(leak).collect()
}

/// Whiteouts last.
fn reversed(lines: &[&str]) -> Vec<&'static str> {
    let (mut marks, mut rest): (Vec<_>, Vec<_>) = lines.iter().copied().partition(is_mark);
    rest.append(&mut marks);
    rest.into_iter().map(leak).collect()
}

fn leak(line: &str) -> &'static str {
    line.to_owned().leak()
}

#[test]
fn layers_add_and_replace() {
    check("nothing", &[&[]], &[]);
    check("no layers", &[], &[]);
    check("one", &[&["d a", "f a/b=1"]], &["d a", "f a/b=1"]);
    check("added", &[&["d a"], &["f a/b=1"]], &["d a", "f a/b=1"]);
    check("replaced", &[&["f a=1"], &["f a=2"]], &["f a=2"]);
    check(
        "directories merge, the upper one says how it is dressed",
        &[&["d700 a", "f a/x=1"], &["d711 a", "f a/y=2"]],
        &["d711 a", "f a/x=1", "f a/y=2"],
    );
    check(
        "a directory that is only implied is dressed by a lower layer",
        &[&["d700 a"], &["f a/y=2"]],
        &["d700 a", "f a/y=2"],
    );
    check(
        "a file over a directory",
        &[&["d a", "f a/x=1", "d a/d"], &["f a=2"]],
        &["f a=2"],
    );
    check(
        "a directory over a file",
        &[&["f a=1"], &["d a", "f a/x=2"]],
        &["d a", "f a/x=2"],
    );
    check(
        "what a file covered does not come back",
        &[&["d700 a", "f a/x=1"], &["f a=2"], &["d a"]],
        &["d a"],
    );
    check(
        "a link over a directory, and its text over a file",
        &[&["d a", "f a/x=1", "f b=1"], &["l a->b", "l b->a"]],
        &["l a->b", "l b->a"],
    );
    check(
        "everything else",
        &[&["f c=1", "p p"], &["c c", "b b"], &["d p"]],
        &["b b", "c c", "d p"],
    );
}

#[test]
fn whiteouts_hide_lower_layers_only() {
    check("gone", &[&["f a=1", "f b=1"], &["f .wh.a"]], &["f b=1"]);
    check(
        "with all that is in it",
        &[&["d a", "f a/x=1"], &["f .wh.a"]],
        &[],
    );
    check("of nothing", &[&["f a=1"], &["f .wh.b"]], &["f a=1"]);
    check("in the lowest layer", &[&["f .wh.a", "f a=1"]], &["f a=1"]);
    check(
        "and something new of the same name",
        &[&["d700 a", "f a/x=1"], &["f .wh.a", "f a/y=2"]],
        &["d a", "f a/y=2"],
    );
    check(
        "of a directory, which is made again higher up",
        &[&["d a", "f a/x=1"], &["f .wh.a"], &["d700 a"]],
        &["d700 a"],
    );
    check(
        "below",
        &[&["d700 a", "f a/x=1", "f a/y=1"], &["f a/.wh.x"]],
        &["d700 a", "f a/y=1"],
    );
    check(
        "in a directory that is nowhere",
        &[&["f b=1"], &["f a/.wh.x"]],
        &["f b=1"],
    );
    check(
        "in something that is no directory below",
        &[&["l a->b", "f b=1"], &["f a/.wh.x"]],
        &["l a->b", "f b=1"],
    );
    check(
        "in a directory that is new",
        &[&["f b=1"], &["d a", "f a/.wh.x"]],
        &["d a", "f b=1"],
    );
    check(
        "of what is in a directory that is something else now",
        &[
            &[
                "d a",
                "f a/x=1",
                "d a/d",
                "f a/d/y=1",
                "d b",
                "f b/x=1",
                "f c/x=1",
            ],
            &[
                "f a=2",
                "f a/.wh.x",
                "f a/d/.wh.y",
                "l b->c",
                "f b/.wh.x",
                "f b/.wh..wh..opq",
            ],
        ],
        &["f a=2", "l b->c", "d c", "f c/x=1"],
    );
    check(
        "through three layers",
        &[
            &["f a=1"],
            &["f .wh.a"],
            &["f a=3"],
            &["f .wh.a"],
            &["f b=5"],
        ],
        &["f b=5"],
    );
}

#[test]
fn opaque_directories_hide_what_is_in_them_below() {
    let opaque = "f a/.wh..wh..opq";
    check(
        "its own stays",
        &[&["d700 a", "f a/x=1"], &["d711 a", opaque, "f a/y=2"]],
        &["d711 a", "f a/y=2"],
    );
    check(
        "a mark alone empties it",
        &[&["d700 a", "f a/x=1", "d a/d"], &[opaque]],
        &["d700 a"],
    );
    check(
        "of what is deeper",
        &[
            &["d a", "d700 a/d", "f a/d/x=1"],
            &[opaque, "d711 a/d", "f a/d/y=2"],
        ],
        &["d a", "d711 a/d", "f a/d/y=2"],
    );
    check(
        "a deeper directory that is only implied is not dressed by what is hidden",
        &[&["d a", "d700 a/d", "f a/d/x=1"], &[opaque, "f a/d/y=2"]],
        &["d a", "d a/d", "f a/d/y=2"],
    );
    check(
        "at the root",
        &[&["f x=1", "d d"], &["f .wh..wh..opq", "f y=2"]],
        &["f y=2"],
    );
    check("of nothing", &[&["f b=1"], &[opaque]], &["f b=1"]);
    check(
        "what is added above it is there",
        &[&["d a", "f a/x=1"], &["d a", opaque], &["f a/z=3"]],
        &["d a", "f a/z=3"],
    );
    check(
        "with a whiteout beside it",
        &[&["d a", "f a/x=1"], &[opaque, "f a/.wh.x", "f a/x=2"]],
        &["d a", "f a/x=2"],
    );
}

#[test]
fn what_is_below_a_link_makes_it_a_directory() {
    let layers: &[&[&str]] = &[
        &["d usr", "d usr/bin", "l bin->usr/bin", "f f=1"],
        &["f bin/tool=2", "f f/x=2"],
        &["f bin/other=3"],
    ];
    let expect = [
        "d bin",
        "f bin/other=3",
        "f bin/tool=2",
        "d f",
        "f f/x=2",
        "d usr",
        "d usr/bin",
    ];
    check("implied", layers, &expect);
    let forced = merge(layers).unwrap().forced;
    let forced: Vec<_> = forced
        .iter()
        .map(|it| (it.path.as_slice(), it.layer))
        .collect();
    assert_eq!(forced, [(b"bin".as_slice(), 1), (b"f", 1)]);

    let said: &[&[&str]] = &[&["l bin->usr/bin"], &["d bin", "f bin/tool=2"]];
    check("said", said, &["d bin", "f bin/tool=2"]);
    assert_eq!(merge(said).unwrap().forced, []);
}

#[test]
fn hard_links_share() {
    check(
        "within a layer",
        &[&["f a=1", "h b->a"]],
        &["f a=1", "h b->a"],
    );
    check(
        "with a lower layer",
        &[&["d d", "f600 d/a=1"], &["h b->d/a"]],
        &["f600 b=1", "d d", "h d/a->b"],
    );
    check(
        "whose own name is gone",
        &[&["f600 a=1"], &["h b->a", "f .wh.a"]],
        &["f600 b=1"],
    );
    check(
        "whose own name is another file's now",
        &[&["f a=1"], &["h b->a", "f a=2"]],
        &["f a=2", "f b=1"],
    );
    check(
        "from layer to layer",
        &[&["f a=1"], &["h b->a"], &["h c->b", "f .wh.b"]],
        &["f a=1", "h c->a"],
    );
    check(
        "which a later layer replaces",
        &[&["f a=1", "h b->a"], &["f a=2"]],
        &["f a=2", "f b=1"],
    );
    check(
        "two of one link",
        &[&["f a=1"], &["h b->a", "h c->b"]],
        &["f a=1", "h b->a", "h c->a"],
    );
    check(
        "in an opaque directory",
        &[&["d d", "f d/a=1"], &["f d/.wh..wh..opq", "h d/b->d/a"]],
        &["d d", "f d/b=1"],
    );
}

#[test]
fn the_root_has_a_mode_and_an_owner() {
    let root = |layers: &[&[&str]]| merge(layers).unwrap().tree.root().mode();
    assert_eq!(root(&[]), 0o755);
    assert_eq!(root(&[&["f a=1"]]), 0o755);
    assert_eq!(root(&[&["d700 ."], &["f a=1"]]), 0o700);
    assert_eq!(root(&[&["d700 ."], &["d711 ./", "f .wh..wh..opq"]]), 0o711);
}

#[test]
fn origins_lead_back() {
    let merged = merge(&[&["f a=1", "d d"], &["h b->a", "f d/x=2", "f e/y=3"]]).unwrap();
    let tree = &merged.tree;
    let origin = |path: &[u8]| {
        let id = tree.find(path).unwrap().id();
        merged.origins[id.index()].map(|(layer, _)| layer)
    };
    assert_eq!(merged.origins.len(), tree.len());
    assert_eq!(
        (origin(b"a"), origin(b"b"), origin(b"d")),
        (Some(0), Some(0), Some(0))
    );
    assert_eq!(
        (origin(b"d/x"), origin(b"e"), origin(b"")),
        (Some(1), None, None)
    );
}
