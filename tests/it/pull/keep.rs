//! What is kept: tags and what they meant, blobs, halves of blobs; and how it goes again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kit::{Shelf, asked, blobs, digest, name, small};
use crate::harness::{Lab, distro_fetch, noise, said};
use crate::server::{Server, Step, head, reply};

fn index(lab: &Lab) -> Value {
    let text = fs::read_to_string(lab.cache().join("v1/oci/index.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_hit_opens_no_socket_and_writes_nothing() {
    let (_, server, pinned) = small();
    let lab = Lab::new();
    let (tag, pin) = (name(&server, ":one"), name(&server, &format!("@{pinned}")));
    assert_eq!(lab.run(&["pull", &tag]).code, Some(0));
    let layout = fs::read_to_string(lab.cache().join("v1/oci/oci-layout")).unwrap();
    assert_eq!(layout, r#"{"imageLayoutVersion":"1.0.0"}"#);
    let (connections, before) = (server.connections(), index(&lab));
    for arguments in [
        vec!["pull", &tag],
        vec!["pull", &pin],
        vec!["pull", "--pull", "never", &tag],
        vec!["--offline", "pull", "--pull", "always", &tag],
        vec!["pull", "--verify", &tag],
        vec!["show", &tag],
    ] {
        let said = lab.run(&arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        assert!(said.stdout.contains(&pin), "{arguments:?}: {said:?}");
    }
    assert_eq!(server.connections(), connections);
    assert_eq!(index(&lab), before);
    for blob in blobs(&lab) {
        let path = lab.cache().join("v1/oci/blobs/sha256").join(blob);
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
    }
    let never = name(&server, ":other");
    for arguments in [
        vec!["--offline", "pull", &never],
        vec!["pull", "--pull", "never", &never],
        vec!["--offline", "pull", "--platform", "linux/arm64", &tag],
    ] {
        let said = lab.run(&arguments);
        assert!(matches!(said.code, Some(3 | 4)), "{arguments:?}: {said:?}");
    }
}

#[test]
fn a_tag_means_what_it_meant_until_it_is_asked_again() {
    let (shelf, server, first) = small();
    let lab = Lab::new();
    let tag = name(&server, ":one");
    lab.run(&["pull", &tag]);
    let image = shelf.image("linux/amd64", &[b"a lower layer", b"another upper layer"]);
    let second = shelf.manifest(Some("one"), &image);
    for (policy, expect) in [
        ("missing", &first),
        ("never", &first),
        ("always", &second),
        ("missing", &second),
    ] {
        let before = server.seen().len();
        let said = lab.run(&["pull", "--pull", policy, &tag]);
        assert_eq!(
            said.stdout.trim_end(),
            name(&server, &format!("@{expect}")),
            "{policy}"
        );
        let asked = asked(&server).split_off(before);
        assert!(
            policy == "always" || asked.is_empty(),
            "{policy}: {asked:?}"
        );
        let lower = digest(b"a lower layer");
        assert!(!asked.iter().any(|it| it.ends_with(&lower)), "it was there");
    }
    // What the tag once meant is still there under its digest.
    let said = lab.run(&["--offline", "pull", &name(&server, &format!("@{first}"))]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// A line that is cut again and again: each byte of a layer comes once.
#[test]
fn a_cut_layer_goes_on_where_it_stopped() {
    let layer = noise(3_000_000);
    let shelf = Shelf::default();
    let image = shelf.image("linux/amd64", &[&layer]);
    shelf.manifest(Some("one"), &image);
    let (inner, body) = (shelf.clone(), layer.clone());
    let server = Server::start(move |seen, _| {
        if !seen.target.contains("blobs/") || !seen.target.ends_with(&digest(&body)) {
            return inner.answer(seen);
        }
        let start = usize::try_from(seen.range_start().unwrap_or(0)).unwrap();
        let end = (start + 1_000_000).min(body.len());
        let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
        let length = (body.len() - start).to_string();
        let head = if start == 0 {
            head("200 OK", &[("Content-Length", &length)])
        } else {
            let headers = [("Content-Length", &*length), ("Content-Range", &range)];
            head("206 Partial Content", &headers)
        };
        vec![Step::Send(head), Step::Send(body[start..end].to_vec())]
    });
    let lab = Lab::new();
    let mut runs = 0;
    let said = loop {
        let said = lab.run(&["pull", &name(&server, ":one")]);
        runs += 1;
        if said.code != Some(5) || runs > 5 {
            break said;
        }
    };
    assert_eq!((said.code, runs), (Some(0), 3), "{said:?}");
    let starts: Vec<_> = server
        .seen()
        .iter()
        .filter(|seen| seen.target.ends_with(&digest(&layer)))
        .map(|seen| seen.range_start().unwrap_or(0))
        .collect();
    assert_eq!(starts, [0, 1_000_000, 2_000_000]);
    let parts = lab.cached_files();
    assert!(!parts.iter().any(|it| it.contains("partial/")), "{parts:?}");
}

#[test]
fn too_many_requests_are_waited_out_and_told() {
    let (shelf, _, pinned) = small();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 2 => reply("429 Too Many Requests", &[("Retry-After", "1")], b"{}"),
        _ => shelf.answer(seen),
    });
    let lab = Lab::new();
    let start = Instant::now();
    let mut command = distro_fetch();
    command.arg("--cache-dir").arg(lab.cache());
    let said = said(command.args(["--retries", "1", "pull", &name(&server, ":one")]));
    assert_eq!(
        said.stdout.trim_end(),
        name(&server, &format!("@{pinned}")),
        "{said:?}"
    );
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "both were waited for"
    );
    assert_eq!(
        said.stderr
            .matches("busy: HTTP 429; again in 1.0 s")
            .count(),
        2,
        "{said:?}"
    );
}

#[test]
fn statuses_have_their_exit_codes() {
    for (status, code) in [
        ("404 Not Found", 6),
        ("403 Forbidden", 5),
        ("401 Unauthorized", 5),
        ("500 Oops", 5),
    ] {
        let server = Server::start(move |_, _| reply(status, &[], b"{}"));
        let said = Lab::new().run(&["pull", &name(&server, ":one")]);
        assert_eq!(
            (said.code, &*said.stdout),
            (Some(code), ""),
            "{status}: {said:?}"
        );
    }
}

#[test]
fn mirrors_come_first_and_are_believed_no_more() {
    let (shelf, server, pinned) = small();
    let mirror = shelf.serve();
    let liar =
        Server::start(|_, _| reply("200 OK", &[("Content-Type", super::kit::MANIFEST)], b"{}"));
    let reference = name(&server, &format!("@{pinned}"));
    for (mirror, path) in [
        (&mirror, "/v2/demo/"),
        (&mirror, "/v2/proxy/demo/"),
        (&liar, "/v2/demo/"),
    ] {
        let before = (mirror.seen().len(), server.seen().len());
        let prefix = path.trim_start_matches("/v2/").trim_end_matches("demo/");
        let base = mirror.url(&format!("/{prefix}"));
        let said = Lab::new().run(&["--mirror", &base, "pull", &reference]);
        assert_eq!(said.stdout.trim_end(), reference, "{said:?}");
        let asked = mirror.seen().split_off(before.0);
        assert!(
            asked.iter().all(|it| it.target.starts_with(path)),
            "{asked:?}"
        );
        assert!(!asked.is_empty());
        let honest = !std::ptr::eq(mirror, &raw const liar);
        assert_eq!(server.seen().len() == before.1, honest, "{base}");
    }
    let template = mirror.url("/v2/{host}/{path}");
    let said = Lab::new().run(&["--mirror", &template, "--mirror-only", "pull", &reference]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = Lab::new().run(&[
        "--mirror",
        &liar.url("/"),
        "--mirror-only",
        "pull",
        &reference,
    ]);
    assert_eq!(said.code, Some(7), "{said:?}");
}

#[test]
fn damage_is_found_and_repaired() {
    let (shelf, server, pinned) = small();
    let lab = Lab::new();
    let tag = name(&server, ":one");
    lab.run(&["pull", &tag]);
    let whole = blobs(&lab);
    let path = |hex: &str| lab.cache().join("v1/oci/blobs/sha256").join(hex);
    for hex in &whole {
        let mut bytes = fs::read(path(hex)).unwrap();
        bytes[3] ^= 1;
        fs::set_permissions(path(hex), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path(hex), &bytes).unwrap();
        // Not believed, and not there without the network.
        let said = lab.run(&["--offline", "pull", &tag]);
        assert_eq!((said.code, &*said.stdout), (Some(4), ""), "{said:?}");
        let said = lab.run(&["--json", "verify", "--repair", &tag]);
        let told: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(
            (said.code, &told[0]["status"]),
            (Some(0), &json!("repaired")),
            "{said:?}"
        );
        assert_eq!(blobs(&lab), whole);
        // The same by a pull, after the blob has vanished.
        fs::remove_file(path(hex)).unwrap();
        let said = lab.run(&["pull", &tag]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(blobs(&lab), whole);
    }
    let said = lab.run(&["verify"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.starts_with("ok "), "{said:?}");
    // Unrepaired it is exit 7, and set aside.
    let layer = digest(b"an upper layer");
    fs::set_permissions(path(&layer[7..]), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path(&layer[7..]), b"something else").unwrap();
    let said = lab.run(&["verify", &tag]);
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(said.stdout.starts_with("damaged "), "{said:?}");
    assert!(!path(&layer[7..]).exists());
    // A torn index says nothing; what is there is found by its digest, and named again.
    fs::write(lab.cache().join("v1/oci/index.json"), b"{\"manif").unwrap();
    let said = lab.run(&["pull", &name(&server, &format!("@{pinned}"))]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(index(&lab)["manifests"].as_array().unwrap().len(), 1);
    drop(shelf);
}

#[test]
fn blobs_go_with_the_last_image() {
    let shelf = Shelf::default();
    let base = noise(100_000);
    let image = |upper: &[u8]| shelf.image("linux/amd64", &[&base, upper]);
    let one = shelf.index(&[("linux/amd64", &image(b"one"))]);
    shelf.manifest(Some("one"), &one);
    shelf.manifest(Some("two"), &image(b"two"));
    let server = shelf.serve();
    let lab = Lab::new();
    let (one, two) = (name(&server, ":one"), name(&server, ":two"));
    lab.run(&["pull", "--platform", "linux/amd64", &one, &two]);
    assert_eq!(
        blobs(&lab).len(),
        3 + 2 + 2 + 1,
        "index, two manifests, configs, uppers, base"
    );
    let said = lab.run(&["--json", "cache", "list"]);
    let rows: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2, "{said:?}");
    assert_eq!(rows[0]["image"], one);
    // Nothing refers to these any more; and these are nobody's business.
    let folder = lab.cache().join("v1/oci/blobs/sha256");
    fs::write(folder.join("ab".repeat(32)), b"orphan").unwrap();
    fs::write(folder.join("README"), b"not ours").unwrap();
    let dry = lab.run(&["--json", "cache", "prune", "--dry-run"]);
    let wet = lab.run(&["--json", "cache", "prune"]);
    let pruned = |text: &str| serde_json::from_str::<Value>(text).unwrap()["pruned"].clone();
    assert_eq!(pruned(&dry.stdout), pruned(&wet.stdout));
    assert_eq!(pruned(&wet.stdout)[0]["kind"], "blob");
    assert_eq!(pruned(&wet.stdout).as_array().unwrap().len(), 1, "{wet:?}");
    assert!(folder.join("README").exists());
    fs::remove_file(folder.join("README")).unwrap();
    // What was pulled by hand stays, until it is named.
    let said = lab.run(&["cache", "remove", &one]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(blobs(&lab).len(), 4, "{said:?}");
    assert_eq!(lab.run(&["--offline", "pull", &two]).code, Some(0));
    assert_eq!(lab.run(&["--offline", "pull", &one]).code, Some(4));
    let said = lab.run(&["cache", "remove", &one]);
    assert_eq!(said.code, Some(0), "it is not there: {said:?}");
    let said = lab.run(&["cache", "prune", "--max-size", "1K"]);
    assert_eq!((said.code, blobs(&lab).len()), (Some(0), 4), "{said:?}");
    let said = lab.run(&["cache", "prune", "--all", "--max-size", "1K"]);
    assert_eq!((said.code, blobs(&lab).len()), (Some(0), 0), "{said:?}");
    assert_eq!(index(&lab)["manifests"], json!([]));
}

/// Two programs that pull the same: each blob comes once, and both are right.
#[test]
fn two_at_once_share_a_download() {
    let shelf = Shelf::default();
    let image = shelf.image("linux/amd64", &[&noise(2_000_000), &noise(1_500_000)]);
    let pinned = shelf.manifest(Some("one"), &image);
    let server = shelf.serve();
    let lab = Lab::new();
    let expect = name(&server, &format!("@{pinned}"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let said = lab.run(&["pull", &name(&server, ":one")]);
                assert_eq!(said.stdout.trim_end(), expect, "{said:?}");
            });
        }
    });
    let mut blobs: Vec<_> = asked(&server)
        .into_iter()
        .filter(|it| it.starts_with("blobs/"))
        .collect();
    let all = blobs.len();
    blobs.sort();
    blobs.dedup();
    assert_eq!((all, blobs.len()), (3, 3), "each once");
}
