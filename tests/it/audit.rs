//! `audit`: each verdict, what it is made of, and what comes of them together.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Lab, Said, noise, said, sha256};
use crate::server::{Seen, Server, Step, file, head, reply};

/// An xz file, as far as its first bytes tell.
fn body() -> Vec<u8> {
    [b"\xfd7zXZ\0", &noise(2000)[..]].concat()
}

fn audit(lab: &Lab, arguments: &[&str]) -> Said {
    let mut command = lab.command(&lab.path("catalog.json"));
    command.args(["--retries", "0", "audit"]).args(arguments);
    said(&mut command)
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
}

/// Audits one pin of [`body`] at one address: exit code and the only finding.
fn check(url: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let lab = Lab::new();
    lab.catalog(&[("demo-1", url, &body())]);
    let said = audit(&lab, &[&["--json"], arguments].concat());
    let document = json(&said);
    assert_eq!(document[0]["verdict"], document[0]["sources"][0]["verdict"]);
    assert!(!lab.cache().exists(), "an audit changes nothing");
    (said.code, document[0]["sources"][0].clone())
}

const PATH: &str = "/20260101/rootfs.tar.xz";

/// Audits a pin of [`body`] at a server that answers like this: verdict, words of the detail.
fn answered(
    what: &str,
    verdict: &str,
    words: &str,
    handler: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static,
) {
    let server = Server::start(move |seen, _| handler(seen));
    let (exit, finding) = check(&server.url(PATH), &[]);
    assert_eq!(finding["verdict"], verdict, "{what}: {finding}");
    let detail = finding["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{what}: {finding}");
    let code = match verdict {
        "alive" => 0,
        "unreachable" => 5,
        _ => 6,
    };
    assert_eq!(exit, Some(code), "{what}: {finding}");
    let seen = server.seen();
    assert_eq!(seen[0].header("range"), Some("bytes=0-511"), "{what}");
    assert!(seen.len() <= 2, "{what}: {} requests", seen.len());
}

#[test]
fn alive_by_size_and_first_bytes() {
    let agrees = "size, first bytes";
    answered("a good server", "alive", agrees, |seen| file(&body(), seen));
    answered("no ranges", "alive", agrees, |_| {
        reply("200 OK", &[], &body())
    });
    answered("416 to any part", "alive", agrees, |seen| {
        if seen.header("range").is_some() {
            return reply("416 Range Not Satisfiable", &[], b"");
        }
        reply("200 OK", &[], &body())
    });
    answered("no length", "alive", "first bytes", |_| {
        vec![Step::Send(head("200 OK", &[])), Step::Send(body())]
    });
}

#[test]
fn drifted_or_gone() {
    let longer = [&body()[..], b"more"].concat();
    let mut other = body();
    other[0] = b'x';
    for (what, bytes, words) in [
        ("longer", longer, "where 2006 bytes"),
        ("another format", other, "does not start as xz does"),
        ("empty", Vec::new(), "0 bytes where"),
    ] {
        answered(what, "drifted", words, move |seen| file(&bytes, seen));
    }
    for status in ["404 Not Found", "410 Gone"] {
        let words = &format!("HTTP {}", &status[..3]);
        answered(status, "gone", words, move |_| reply(status, &[], b"no"));
    }
}

#[test]
fn unreachable_is_what_says_nothing_about_the_file() {
    for (status, words) in [
        ("401 Unauthorized", "refused: HTTP 401"),
        ("403 Forbidden", "refused: HTTP 403"),
        ("451 Legal", "refused: HTTP 451"),
        ("429 Slow Down", "busy: HTTP 429"),
        ("503 Busy", "busy: HTTP 503"),
        ("500 Oops", "HTTP 500"),
    ] {
        answered(status, "unreachable", words, move |_| {
            reply(status, &[], b"no")
        });
    }
    for (kind, text) in [("text/html", "<p>login"), ("text/plain", "<!DOCTYPE html>")] {
        answered(kind, "unreachable", "an error page", move |_| {
            reply("200 OK", &[("Content-Type", kind)], text.as_bytes())
        });
    }
    answered("a lying 206", "unreachable", "cannot be true", |_| {
        let range = ("Content-Range", "bytes 5-9/2006");
        reply("206 Partial Content", &[range], b"12345")
    });
    answered("cut short", "unreachable", "", |_| {
        let length = ("Content-Length", "2006");
        vec![Step::Send(head("200 OK", &[length]))]
    });
}

#[test]
fn who_does_not_answer_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{closed}{PATH}");
    let (code, finding) = check(&url, &[]);
    assert_eq!(
        (code, &finding["verdict"]),
        (Some(5), &json!("unreachable"))
    );
    assert_eq!(finding["detail"], "connection refused");

    let (code, finding) = check(&format!("http://nowhere.invalid{PATH}"), &[]);
    assert_eq!(code, Some(5));
    assert_eq!(finding["detail"], "the host name cannot be resolved");

    let server = Server::start(|_, _| vec![Step::Stall]);
    let (code, finding) = check(&server.url(PATH), &["--timeout", "1"]);
    assert_eq!(
        (code, &finding["verdict"]),
        (Some(5), &json!("unreachable"))
    );
    assert!(
        finding["detail"].as_str().unwrap().contains("timed out"),
        "{finding}"
    );
}

#[test]
fn an_endless_answer_is_let_go() {
    // The file is larger than what any connection buffers; its first bytes are enough.
    let server = Server::start(|_, _| {
        vec![
            Step::Send(head("200 OK", &[])),
            Step::Send(body()),
            Step::Repeat(vec![0; 1 << 16], Duration::ZERO),
        ]
    });
    let (code, finding) = check(&server.url(PATH), &[]);
    assert_eq!((code, &finding["verdict"]), (Some(0), &json!("alive")));
}

#[test]
fn files_are_sources_too() {
    let lab = Lab::new();
    let path = lab.path("20260101.tar.xz");
    let url = format!("file://{}", path.display());
    let verdict = |arguments: &[&str]| {
        let (code, finding) = check(&url, arguments);
        (
            code.unwrap(),
            finding["verdict"].as_str().unwrap().to_owned(),
        )
    };
    for arguments in [&[][..], &["--deep"]] {
        let _ = std::fs::remove_file(&path);
        assert_eq!(verdict(arguments), (6, "gone".to_owned()));
        std::fs::write(&path, body()).unwrap();
        assert_eq!(verdict(arguments), (0, "alive".to_owned()));
        std::fs::write(&path, &body()[1..]).unwrap();
        assert_eq!(verdict(arguments), (6, "drifted".to_owned()));
        std::fs::write(&path, b"").unwrap();
        assert_eq!(verdict(arguments), (6, "drifted".to_owned()));
    }
}

#[test]
fn only_deep_sees_what_only_the_hash_tells() {
    let mut flipped = body();
    *flipped.last_mut().unwrap() ^= 1;
    let server = Server::with_file(flipped.clone());
    let (code, finding) = check(&server.url(PATH), &[]);
    assert_eq!((code, &finding["verdict"]), (Some(0), &json!("alive")));
    let (code, finding) = check(&server.url(PATH), &["--deep"]);
    assert_eq!((code, &finding["verdict"]), (Some(6), &json!("drifted")));
    let detail = finding["detail"].as_str().unwrap();
    assert!(detail.contains(&sha256(&flipped).to_string()), "{detail}");

    let server = Server::with_file(body());
    let (code, finding) = check(&server.url(PATH), &["--deep"]);
    assert_eq!((code, &finding["detail"]), (Some(0), &json!("SHA-256")));
    assert_eq!(finding["size"], body().len());

    let server = Server::start(|_, _| {
        let steps = reply("200 OK", &[], &body());
        let Step::Send(bytes) = &steps[1] else {
            unreachable!()
        };
        vec![steps[0].clone(), Step::Send(bytes[..900].to_vec())]
    });
    let (code, finding) = check(&server.url(PATH), &["--deep"]);
    assert_eq!(
        (code, &finding["verdict"]),
        (Some(5), &json!("unreachable"))
    );
}

#[test]
fn a_busy_source_gets_its_chances() {
    let server = Server::start(|seen, nth| match nth {
        0 => reply("503 Busy", &[("Retry-After", "0")], b""),
        _ => file(&body(), seen),
    });
    let lab = Lab::new();
    lab.catalog(&[("demo-1", &server.url(PATH), &body())]);
    let said = audit(&lab, &["--retries", "1"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_signal_stops_it() {
    let drips = || Step::Repeat(vec![0; 1], Duration::from_millis(10));
    for (arguments, last) in [(&[][..], Step::Stall), (&["--deep"], drips())] {
        let server = Server::start(move |_, _| {
            let length = ("Content-Length", "2006");
            vec![Step::Send(head("200 OK", &[length])), last.clone()]
        });
        let lab = Lab::new();
        let catalog = lab.catalog(&[("demo-1", &server.url(PATH), &body())]);
        let mut command = lab.command(&catalog);
        command.arg("audit").args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.seen().is_empty() {
            assert!(Instant::now() < deadline, "nothing was asked");
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut kill = std::process::Command::new("kill");
        kill.args(["-s", "INT", &child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{arguments:?}: {stderr}");
        assert!(stderr.contains("starts from the beginning"), "{stderr}");
        assert!(!stderr.contains("goes on"), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

/// A catalog in which `/NAME/…` of one server is the only source of each image.
fn several(lab: &Lab, server: &Server, names: &[&str]) {
    let urls: Vec<_> = names
        .iter()
        .map(|name| {
            (
                format!("demo-{name}"),
                server.url(&format!("/{name}{PATH}")),
            )
        })
        .collect();
    // One hash for two pins is refused, so each has its own bytes; they only have to be as many.
    let bodies: Vec<_> = names.iter().map(|name| own(name)).collect();
    let images: Vec<_> = urls
        .iter()
        .zip(&bodies)
        .map(|((name, url), bytes)| (name.as_str(), url.as_str(), &bytes[..]))
        .collect();
    lab.catalog(&images);
}

fn own(name: &str) -> Vec<u8> {
    let mut bytes = body();
    bytes.extend(format!("{name:8}").into_bytes());
    bytes
}

/// Answers by what the image is called.
fn by_name(seen: &Seen) -> Vec<Step> {
    let name = seen.target[1..].split('/').next().unwrap();
    match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "alive" => file(&own(name), seen),
        "gone" => reply("404 Not Found", &[], b""),
        "drifted" => file(b"\xfd7zXZ\0else", seen),
        _ => reply("500 Oops", &[], b""),
    }
}

#[test]
fn together_the_certain_loss_counts_most() {
    let server = Server::start(|seen, _| by_name(seen));
    for (names, code, summary) in [
        (&["alive1", "alive2"][..], 0, "2 pins: 2 alive"),
        (&["alive", "oops"], 5, "2 pins: 1 alive, 1 unreachable"),
        (
            &["alive", "gone", "oops"],
            6,
            "3 pins: 1 alive, 1 unreachable, 1 gone",
        ),
        (&["drifted", "oops"], 6, "2 pins: 1 unreachable, 1 drifted"),
    ] {
        let lab = Lab::new();
        several(&lab, &server, names);
        let said = audit(&lab, &[]);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert_eq!(said.stderr.trim_end(), summary);
        assert_eq!(said.stdout.lines().count(), names.len() + 1, "{said:?}");
        let said = audit(&lab, &["-q", "demo-*"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(code), ""));
    }
}

#[test]
fn a_dead_host_is_not_asked_again_and_again() {
    let server = Server::start(|seen, _| by_name(seen));
    let lab = Lab::new();
    several(&lab, &server, &["oops1", "oops2", "oops3", "oops4"]);
    let said = audit(&lab, &["--retries", "1", "-j", "1"]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert_eq!(
        server.seen().len(),
        5,
        "two for the first pin, one for each other"
    );
}

/// A catalog with a mirror, an alternate and two architectures.
fn sources(lab: &Lab, server: &Server) {
    let pin = |arch: &str| {
        json!({
            "snapshot": "20260101",
            "url": server.url(&format!("/gone/20260101/{arch}.tar.xz")),
            "alternates": [server.url(&format!("/oops/20260101/{arch}.tar.xz"))],
            "sha256": sha256(arch.as_bytes()).to_string(), "size": own("alive").len(),
        })
    };
    let document = json!({
        "schema": 1,
        "origins": { "here": {
            "url": server.url("/gone/"), "retention": { "days": 3 },
            "mirrors": { "copy": server.url("/alive/") },
        } },
        "images": { "demo-1": {
            "distro": "demo", "version": "1", "kind": "rootfs", "arches": ["amd64", "arm64"],
            "pins": { "amd64": pin("amd64"), "arm64": pin("arm64") },
        } },
    });
    std::fs::write(lab.path("catalog.json"), document.to_string()).unwrap();
}

#[test]
fn every_source_of_every_architecture_is_asked() {
    let server = Server::start(|seen, _| by_name(seen));
    let lab = Lab::new();
    sources(&lab, &server);
    let said = audit(&lab, &["--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let document = json(&said);
    let keys: Vec<_> = document[0].as_object().unwrap().keys().cloned().collect();
    let expect = ["arch", "image", "sha256", "snapshot", "sources", "verdict"];
    assert_eq!(keys, expect);
    for (at, arch) in ["amd64", "arm64"].into_iter().enumerate() {
        let row = &document[at];
        assert_eq!(
            (&row["arch"], &row["verdict"]),
            (&json!(arch), &json!("alive"))
        );
        assert_eq!(row["sha256"], sha256(arch.as_bytes()).to_string());
        let sources = row["sources"].as_array().unwrap();
        let found: Vec<_> = sources
            .iter()
            .map(|it| {
                (
                    it["role"].as_str().unwrap(),
                    it["verdict"].as_str().unwrap(),
                )
            })
            .collect();
        let expect = [
            ("upstream", "gone"),
            ("alternate", "unreachable"),
            ("mirror", "alive"),
        ];
        assert_eq!(found, expect);
        let keys: Vec<_> = sources[0].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["detail", "role", "size", "url", "verdict"]);
    }
    assert_eq!(
        audit(&lab, &["--json", "--arch", "arm64"])
            .stdout
            .matches("\"arch\"")
            .count(),
        1
    );

    let mirror = server.url("/gone/mine/");
    let said = audit(&lab, &["--json", "--mirror", &mirror]);
    assert_eq!(json(&said)[0]["sources"][0]["role"], "your mirror");
    let said = audit(&lab, &["--json", "--mirror", &mirror, "--mirror-only"]);
    assert_eq!(json(&said)[0]["sources"].as_array().unwrap().len(), 1);
    assert_eq!(said.code, Some(6));
}

#[test]
fn the_order_is_the_catalogs_however_many_ask() {
    let server = Server::start(|seen, nth| {
        let mut steps = vec![Step::Pause(Duration::from_millis(if nth % 3 == 0 {
            20
        } else {
            0
        }))];
        steps.extend(by_name(seen));
        steps
    });
    let names: Vec<_> = (0..12)
        .map(|n| format!("{}{n}", ["alive", "gone", "drifted", "oops"][n % 4]))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let lab = Lab::new();
    several(&lab, &server, &names);
    let alone = audit(&lab, &["-j", "1"]);
    assert_eq!(alone.code, Some(6));
    for jobs in ["2", "8"] {
        let said = audit(&lab, &["-j", jobs]);
        assert_eq!((&said.stdout, &said.stderr), (&alone.stdout, &alone.stderr));
    }
}

#[test]
fn a_container_image_is_asked_for_by_its_digest() {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    });
    let manifest = manifest.to_string().into_bytes();
    for (pinned, verdict, code) in [
        (manifest.clone(), "alive", 0),
        (b"other".to_vec(), "drifted", 6),
    ] {
        let sent = manifest.clone();
        let server = Server::start(move |_, _| reply("200 OK", &[], &sent));
        let repository = format!("127.0.0.1:{}/library/demo", server.port());
        let document = json!({ "schema": 1, "origins": {}, "images": { "demo-1": {
            "distro": "demo", "version": "1", "kind": "oci", "arches": ["amd64"],
            "pins": { "amd64": {
                "snapshot": "1.0", "url": repository, "sha256": sha256(&pinned).to_string(),
                "size": pinned.len(),
            } },
        } } });
        let lab = Lab::new();
        std::fs::write(lab.path("catalog.json"), document.to_string()).unwrap();
        let said = audit(&lab, &["--json"]);
        assert_eq!(said.code, Some(code), "{said:?}");
        let source = &json(&said)[0]["sources"][0];
        assert_eq!(source["verdict"], verdict);
        assert_eq!(
            source["url"],
            format!("{repository}@sha256:{}", sha256(&pinned))
        );
        assert_eq!(
            server.seen()[0].target,
            format!("/v2/library/demo/manifests/sha256:{}", sha256(&pinned))
        );
    }
}

#[test]
fn what_cannot_be_audited_is_said() {
    let server = Server::with_file(body());
    let lab = Lab::new();
    lab.catalog(&[("demo-1", &server.url(PATH), &body())]);
    for (arguments, code, words) in [
        (&["--offline"][..], 4, "may not be used"),
        (&["nosuch"], 3, "unknown image"),
        (&["nosuch*"], 3, "no image matches"),
        (&["demo-1", "--arch", "s390x"], 3, "pinned"),
        (&["--mirror-only"], 2, "--mirror-only needs"),
        (
            &[
                "--ca-cert",
                "/nonexistent",
                "--mirror",
                "https://127.0.0.1:1/",
            ],
            8,
            "CA file",
        ),
    ] {
        let said = audit(&lab, arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(words), "{arguments:?}: {said:?}");
    }
}
