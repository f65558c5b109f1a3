//! Trees that want something of us.

use std::fs;
use std::os::unix::fs::symlink;

use super::kit::{PLACE, SERIAL, SPLIT, Yard, gzip, options, tar, xz};
use crate::chance::Random;

#[test]
fn no_link_leads_out_of_the_tree() {
    let outside = Yard::with_image();
    let secret = outside.root.join(PLACE);
    let yard = Yard::with_image();
    let link = |from: std::path::PathBuf, to: &str| {
        let to = yard.root.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        symlink(from, to).unwrap();
    };
    link(secret.join(SERIAL), &format!("{PLACE}/20260127_13:00"));
    link(secret.clone(), "images/alpine/3.21/amd64/cloud");
    link(outside.root.join("images/alpine"), "images/elsewhere");
    let version = yard.put("images/x/1/amd64/default/20260101", &SPLIT);
    fs::remove_file(version.join("rootfs.tar.xz")).unwrap();
    symlink(
        secret.join(SERIAL).join("rootfs.tar.xz"),
        version.join("rootfs.tar.xz"),
    )
    .unwrap();
    // Within the tree it is no other matter.
    symlink("default", yard.root.join("images/alpine/3.21/amd64/same")).unwrap();
    link("/etc/passwd".into(), "images/y/.requirements");
    yard.put("images/y/1/amd64/default/20260101", &SPLIT);
    let report = yard.try_publish(options());
    let paths: Vec<_> = report.problems.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "images/alpine/3.21/amd64/cloud",
            "images/alpine/3.21/amd64/default/20260127_13:00",
            "images/alpine/3.21/amd64/same",
            "images/elsewhere",
            "images/x/1/amd64/default/20260101",
            "images/y/.requirements",
        ]
    );
    assert_eq!(yard.listed().len(), 1);
    assert!(!yard.images().to_string().contains("root:"));
}

#[test]
fn pipes_and_other_things_do_not_make_us_wait() {
    let yard = Yard::with_image();
    let fifo = |path: std::path::PathBuf| {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).unwrap();
    };
    let version = yard.put("images/x/1/amd64/default/20260101", &SPLIT);
    fifo(version.join("disk.qcow2"));
    fifo(yard.root.join("images/pipe"));
    let other = yard.put("images/y/1/amd64/default/20260101", &SPLIT);
    fifo(other.with_file_name(".lxd_requirements"));
    let report = yard.try_publish(options());
    assert_eq!(report.problems.len(), 2, "{report:?}");
    assert!(report.problems[0].message.contains("no regular file"));
    assert!(report.problems[1].message.contains("not a regular file"));
    assert_eq!(yard.listed().len(), 1);
}

/// Metadata of somebody else's is not ours to judge: it is published as it is, and not believed.
#[test]
fn metadata_that_means_harm_is_a_warning() {
    let laughs = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..60 {
            text.push_str(&format!(
                "a{n}: &a{n} [{}]\n",
                format!("*a{},", n - 1).repeat(9)
            ));
        }
        text
    };
    let yaml = |text: &str| xz(&tar(&[("metadata.yaml", text.as_bytes())]));
    for (bytes, warns) in [
        (yaml(&laughs), false),
        (yaml(&"[".repeat(200_000)), true),
        (
            yaml(&format!(
                "properties: {{version: \"{}\"}}",
                "v".repeat(1000)
            )),
            false,
        ),
        (
            yaml("properties: {version: \"1\\n2\", aliases: \",,,\", support_eol: never}"),
            false,
        ),
        (yaml(&"x".repeat(1 << 20)), true),
        (gzip(&vec![0; 80 << 20]), true),
        (b"\xfd7zXZ\0".to_vec(), true),
    ] {
        let yard = Yard::new();
        yard.put(
            &format!("{PLACE}/{SERIAL}"),
            &[("incus.tar.xz", &bytes), SPLIT[1]],
        );
        let report = yard.publish();
        assert_eq!(!report.warnings.is_empty(), warns, "{report:?}");
        assert_eq!(report.versions, 1);
        let mut product = yard.product();
        product["versions"].take();
        assert!(product.to_string().len() < 1000, "{product}");
        assert_eq!(product["aliases"], "alpine/3.21/default,alpine/3.21");
        assert!(product.get("version").is_none() && product.get("support_eol").is_none());
    }
}

/// Whatever the bytes, a document or an error comes of them, and soon.
#[test]
fn bent_metadata_is_never_a_surprise() {
    let good = super::kit::yaml("  codename: &c 'noble'\n  version: *c\ntemplates: {a: [b, c]}\n");
    let mut chance = Random::new();
    let mut random = |below| chance.below(below);
    let yard = Yard::new();
    let words: Vec<&[u8]> = vec![
        b"&a ",
        b"*a ",
        b"[",
        b"{",
        b"}",
        b"? ",
        b": ",
        b"- ",
        b"\"",
        b"'",
        b"|\n",
        b">-\n",
        b"---\n",
        b"...\n",
        b"%YAML 9\n",
        b"!!x ",
        b"\t",
        b"\xff",
        b"\xef\xbb\xbf",
        b"#",
        b"<<: ",
    ];
    for turn in 0..60 {
        let mut text = good.clone().into_bytes();
        for _ in 0..=random(4) {
            let at = random(text.len());
            let end = at + random(text.len() - at).min(4);
            text.splice(at..end, words[random(words.len())].iter().copied());
        }
        let place = format!("images/a/{turn}/amd64/default/20260101");
        let bytes = gzip(&tar(&[("metadata.yaml", &text)]));
        yard.put(&place, &[("incus.tar.xz", &bytes), SPLIT[1]]);
    }
    assert_eq!(yard.publish().versions, 60);
}
