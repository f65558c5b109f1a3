//! What a build tool takes in when it takes in this library: a budget, and crates that stay out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// How many crates `default-features = false, features = ["fetch"]` may be, the library counted:
/// its normal dependencies, and its own build dependencies with theirs. What a dependency builds
/// itself with (ring's `cc`) is that dependency's business.
const BUDGET: usize = 48;

/// What the library never links, and why.
const UNWANTED: &[(&str, &str)] = &[
    ("anyhow", "errors of the library are typed"),
    ("clap", "the command line is the binary's"),
    ("native-tls", "TLS is rustls"),
    ("openssl", "TLS is rustls"),
    ("openssl-sys", "TLS is rustls"),
    ("proc-macro2", "no derive macros"),
    ("reqwest", "blocking without an async runtime"),
    ("sequoia-openpgp", "LGPL: the refresher's alone"),
    ("serde_derive", "no derive macros"),
    ("syn", "no derive macros"),
    ("tokio", "blocking without an async runtime"),
];

/// What `deny.toml` bans from every build, whoever asks for it: name, and the versions below which
/// it is banned (none: all of them).
const BANNED: &[(&str, Option<[u64; 3]>)] = &[
    ("async-std", None),
    ("fs2", None),
    ("hyper", None),
    ("native-tls", None),
    ("openssl", None),
    ("openssl-sys", None),
    ("reqwest", None),
    ("tar", Some([0, 4, 46])),
    ("tokio", None),
    ("ureq", Some([3, 5, 0])),
    ("rustls-webpki", Some([0, 103, 13])),
    ("xz2", None),
];

#[test]
fn the_library_keeps_to_its_budget() {
    let counted = crates(&tree(), Build::OwnOnly);
    assert!(
        counted.len() <= BUDGET,
        "{} crates, the budget is {BUDGET}: {counted:?}",
        counted.len()
    );
    assert!(counted.contains("ureq"), "the feature is on: {counted:?}");
    assert!(counted.contains("askama"), "build edges count: {counted:?}");
}

#[test]
fn the_library_links_nothing_unwanted() {
    let linked = crates(&tree(), Build::None);
    for (name, why) in UNWANTED {
        assert!(!linked.contains(*name), "{name} is linked in: {why}");
    }
    assert!(linked.contains("rustls") && linked.len() > 20, "{linked:?}");
}

/// The judge itself: which lines of a tree count.
#[test]
fn the_tree_is_read_by_its_edges() {
    let tree = "us v1 (/here)\n\
                |-- a v1\n\
                |   |-- b v2\n\
                |   |   [build-dependencies]\n\
                |   |   `-- cc v1\n\
                |   |       `-- shlex v1\n\
                |   `-- c v1\n\
                [build-dependencies]\n\
                `-- askama v1\n\
                    `-- syn v3 (proc-macro)\n\
                        `-- quote v1\n";
    let all = |build| {
        crates(tree, build)
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(all(Build::None), "a b c us");
    assert_eq!(all(Build::OwnOnly), "a askama b c quote syn us");
}

/// The bans of `deny.toml`, over every crate of `Cargo.lock`: they hold where cargo-deny is not
/// installed, too.
#[test]
fn nothing_banned_is_locked() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let deny = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    for (name, _) in BANNED {
        assert!(
            deny.contains(&format!("crate = \"{name}")),
            "deny.toml bans {name} too"
        );
    }
    let mut packages = 0;
    let mut registry = None;
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            package
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
                .map(|value| value.trim_matches('"'))
        };
        let (name, version) = (field("name").unwrap(), field("version").unwrap());
        packages += 1;
        if let Some(source) = field("source") {
            assert!(source.starts_with("registry+"), "{name}: {source}");
            let one = registry.get_or_insert(source);
            assert_eq!(source, *one, "{name} comes from another registry");
            assert!(field("checksum").is_some(), "{name} has a checksum");
        }
        if let Some((_, below)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            let banned = below.is_none_or(|below| number(version) < below);
            assert!(!banned, "{name} {version} is banned");
        }
    }
    assert!(packages > 50, "{packages} packages");
}

fn number(version: &str) -> [u64; 3] {
    let mut parts = version
        .split(['.', '-', '+'])
        .map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

/// Which build dependencies count.
#[derive(Clone, Copy, PartialEq)]
enum Build {
    None,
    OwnOnly,
}

/// The library as a build tool resolves it, one crate per line. `cargo metadata`
/// would not do: it unites the features of the whole workspace and of its tests.
fn tree() -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--package", "distro-fetch"])
        .args(["--no-default-features", "--features", "fetch"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(["--edges", "normal,build", "--no-dedupe"])
        .args(["--charset", "ascii"])
        .current_dir(root())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names in a tree. A heading `[build-dependencies]` stands before the build dependencies of
/// the last crate that is one level up.
fn crates(tree: &str, build: Build) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut heading = false;
    // The depth at which a part that does not count began.
    let mut left_out = None;
    for line in tree.lines() {
        if line.contains('[') {
            heading = true;
            continue;
        }
        let package = line.trim_start_matches(['|', '`', '-', ' ']);
        let depth = (line.len() - package.len()) / 4;
        let name = package.split_whitespace().next().unwrap();
        if left_out.is_some_and(|out| depth < out || (depth == out && heading)) {
            left_out = None;
        }
        let counts = build == Build::OwnOnly && depth == 1;
        if heading && left_out.is_none() && !counts {
            left_out = Some(depth);
        }
        heading = false;
        if left_out.is_none() {
            found.insert(name.to_owned());
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
