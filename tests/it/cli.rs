//! The command line: what it prints where, and how it exits.

use serde_json::Value;

use crate::harness::{Lab, distro_fetch, noise, said, sha256};
use crate::server::{Server, reply};

/// A lab with one image `demo-1.0` of some bytes behind a good server.
fn demo() -> (Lab, Server, Vec<u8>) {
    let bytes = noise(100_000);
    let server = Server::with_file(bytes.clone());
    let lab = Lab::new();
    lab.catalog(&[("demo-1.0", &server.url("/20260101/rootfs.tar.xz"), &bytes)]);
    (lab, server, bytes)
}

impl Lab {
    fn demo(&self, arguments: &[&str]) -> crate::harness::Said {
        let catalog = self.path("catalog.json");
        let mut all = vec!["--catalog", catalog.to_str().unwrap(), "--arch", "amd64"];
        all.extend(arguments);
        self.run(&all)
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn ensure_prints_one_absolute_path_and_nothing_else() {
    let (lab, server, bytes) = demo();
    let first = lab.demo(&["ensure", "demo-1.0"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let path = first.stdout.trim_end();
    assert!(
        path.starts_with('/') && first.stdout.lines().count() == 1,
        "{first:?}"
    );
    assert!(path.ends_with(&format!(
        "/v1/images/demo-1.0/amd64/20260101-{}/rootfs.tar.xz",
        sha256(&bytes).short()
    )));
    assert_eq!(std::fs::read(path).unwrap(), bytes);

    let again = lab.demo(&["ensure", "demo-1.0"]);
    assert_eq!((again.code, &again.stdout), (Some(0), &first.stdout));
    assert!(
        again.stderr.is_empty(),
        "a hit has nothing to say: {}",
        again.stderr
    );
    assert_eq!(server.connections(), 1);
}

#[test]
fn ensure_json_has_the_documented_fields() {
    let (lab, server, bytes) = demo();
    for cached in [false, true] {
        let said = lab.demo(&["--json", "ensure", "demo-1.0"]);
        let document = json(&said.stdout);
        let entry = &document.as_array().unwrap()[0];
        let keys: Vec<_> = entry.as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            keys,
            [
                "arch", "cached", "form", "image", "path", "sha256", "size", "snapshot", "source"
            ]
        );
        assert_eq!(entry["image"], "demo-1.0");
        assert_eq!(entry["cached"], cached);
        assert_eq!(entry["form"], "source");
        assert_eq!(entry["size"], bytes.len());
        assert_eq!(entry["source"], server.url("/20260101/rootfs.tar.xz"));
    }
}

#[test]
fn several_images_come_in_the_order_asked() {
    let lab = Lab::new();
    let names: Vec<String> = (0..6).map(|n| format!("demo-{n}")).collect();
    // The first one is the slowest: order of completion is not order of output.
    let server = Server::start(|seen, _| {
        let n: usize = seen.target[2..3].parse().unwrap();
        let mut steps = vec![];
        if n == 0 {
            steps.push(crate::server::Step::Pause(
                std::time::Duration::from_millis(150),
            ));
        }
        steps.extend(reply("200 OK", &[], &noise(1000 + n)));
        steps
    });
    let images: Vec<(String, Vec<u8>)> = (0..6)
        .map(|n| (server.url(&format!("/v{n}/20260101.tar")), noise(1000 + n)))
        .collect();
    let rows: Vec<(&str, &str, &[u8])> = names
        .iter()
        .zip(&images)
        .map(|(name, (url, bytes))| (name.as_str(), url.as_str(), bytes.as_slice()))
        .collect();
    lab.catalog(&rows);
    let mut arguments = vec!["-j", "3", "ensure"];
    arguments.extend(names.iter().map(String::as_str));
    let said = lab.demo(&arguments);
    assert_eq!(said.code, Some(0), "{said:?}");
    for (line, name) in said.stdout.lines().zip(&names) {
        assert!(line.contains(&format!("/{name}/")), "{line} {name}");
    }
    assert_eq!(said.stdout.lines().count(), 6);
}

#[test]
fn every_kind_of_failure_has_its_exit_code_and_its_document() {
    let bytes = noise(5000);
    let other = noise(5001);
    let status = |status: &'static str| Server::start(move |_, _| reply(status, &[], b"no"));
    let wrong = Server::with_file(other[1..].to_vec());
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let (gone, busy, broken) = (
        status("404 Not Found"),
        status("503 Busy"),
        status("500 Oops"),
    );
    for (url, kind, code) in [
        (gone.url("/20260101.tar"), "gone", 6),
        (busy.url("/20260101.tar"), "network", 5),
        (broken.url("/20260101.tar"), "network", 5),
        (
            format!("http://127.0.0.1:{closed}/20260101.tar"),
            "network",
            5,
        ),
        (wrong.url("/20260101.tar"), "integrity", 7),
        ("file:///nonexistent/20260101.tar".to_owned(), "gone", 6),
    ] {
        let lab = Lab::new();
        lab.catalog(&[("demo-1.0", &url, &bytes)]);
        let said = lab.demo(&["--json", "ensure", "demo-1.0"]);
        assert_eq!(said.code, Some(code), "{url}: {said:?}");
        let document = json(&said.stdout);
        assert_eq!(document["error"]["kind"], kind, "{document}");
        assert_eq!(document["error"]["attempts"][0]["url"], url);
        assert!(document["error"]["attempts"][0]["verdict"].is_string());
        assert!(
            document["error"]["message"]
                .as_str()
                .unwrap()
                .contains("demo-1.0 amd64 20260101")
        );
        assert!(said.stderr.contains("hint: "), "{}", said.stderr);
        assert_eq!(lab.cached_files(), [] as [&str; 0], "{url}");
    }
}

#[test]
fn wrong_bytes_show_both_hashes() {
    let (bytes, wrong) = (noise(5000), vec![1; 5000]);
    let server = Server::with_file(wrong.clone());
    let lab = Lab::new();
    lab.catalog(&[("demo-1.0", &server.url("/20260101.tar"), &bytes)]);
    let said = lab.demo(&["ensure", "demo-1.0"]);
    assert_eq!(said.code, Some(7));
    assert!(said.stdout.is_empty());
    for digest in [sha256(&bytes), sha256(&wrong)] {
        assert!(said.stderr.contains(&digest.to_string()), "{}", said.stderr);
    }
}

#[test]
fn unknown_names_exit_3_and_ask_nobody() {
    let lab = Lab::new();
    for (arguments, expect) in [
        (&["ensure", "alpin-3.21"][..], "did you mean alpine-3.21"),
        (&["show", "ubunut-24.04"], "did you mean ubuntu-24.04"),
        (
            &["ensure", "no-such-thing"],
            "`distro-fetch list` shows every image",
        ),
        (
            &["ensure", "alpine-3.21@20200101_00:00", "--arch", "amd64"],
            "alpine-3.21@2026",
        ),
        (
            &["ensure", "alpine-3.21", "--arch", "s390x"],
            "pinned: amd64",
        ),
        (
            &["ensure", "alpine-3.21", "--arch", "vax"],
            "unknown architecture",
        ),
        (&["list", "zzz*"], "no image matches"),
    ] {
        let said = lab.run(arguments);
        assert_eq!(said.code, Some(3), "{arguments:?}: {said:?}");
        assert!(
            said.stderr.contains(expect),
            "{arguments:?}: {}",
            said.stderr
        );
        assert!(said.stdout.is_empty());
    }
    assert!(!lab.cache().exists(), "nothing was even prepared");
}

#[test]
fn wrong_usage_exits_2_before_anything_happens() {
    let lab = Lab::new();
    let hash = "0".repeat(64);
    for arguments in [
        &["ensure"][..],
        &["frobnicate"],
        &["ensure", "alpine-3.21", "--as", "dir", "--size", "1G"],
        &["ensure", "alpine-3.21", "--as", "raw", "--size", "1G"],
        &["ensure", "alpine-3.21", "--size", "1G"],
        &["ensure", "alpine-3.21", "--report", "x"],
        &["ensure", "alpine-3.21", "--map-owner"],
        &["ensure", "alpine-3.21", "debian-12", "-o", "x"],
        &["ensure", "https://h/x"],
        &["ensure", "alpine-3.21", "--sha256", &hash],
        &["ensure", "https://h/x", "--sha256", "XYZ"],
        &["ensure", "https://h/x", "https://h/y", "--sha256", &hash],
        &["ensure", "ftp://h/x", "--sha256", &hash],
        &["ensure", "docker://alpine@sha256:00"],
        &["ensure", "alpine-3.21", "--mirror", "nosuchpreset"],
        &["ensure", "alpine-3.21", "--mirror", "https://h/{nosuch}"],
        &["ensure", "alpine-3.21", "--mirror-only"],
        &["ensure", "alpine-3.21", "--timeout", "0"],
        &["ensure", "alpine-3.21", "-j", "0"],
        &["cache", "prune", "--older-than", "soon"],
    ] {
        let said = lab.run(arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(said.stdout.is_empty() && !said.stderr.is_empty());
    }
    assert!(!lab.cache().exists());
}

#[test]
fn list_tells_what_is_cached_and_json_has_the_documented_fields() {
    let (lab, _server, bytes) = demo();
    let document = json(&lab.demo(&["--json", "list"]).stdout);
    assert_eq!(document[0]["cached"], false);
    lab.demo(&["ensure", "demo-1.0"]);
    let document = json(&lab.demo(&["--json", "list", "demo-*"]).stdout);
    let row = document[0].as_object().unwrap();
    let keys: Vec<_> = row.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "arch",
            "cached",
            "distro",
            "elsewhere",
            "image",
            "kind",
            "sha256",
            "size",
            "snapshot",
            "upstream",
            "url",
            "variant",
            "version"
        ]
    );
    assert_eq!(row["cached"], true);
    assert_eq!(row["sha256"], sha256(&bytes).to_string());
    let text = lab.demo(&["list"]).stdout;
    assert!(text.lines().nth(1).unwrap().ends_with("yes"), "{text}");
}

#[test]
fn the_embedded_catalog_lists_and_shows() {
    let lab = Lab::new();
    let said = lab.run(&["list", "alpine-*"]);
    assert_eq!(said.code, Some(0));
    for name in ["alpine-3.21 ", "alpine-3.20-minirootfs "] {
        assert!(said.stdout.contains(name), "{}", said.stdout);
    }
    assert!(!said.stdout.contains("ubuntu"));
    let said = lab.run(&["show", "alpine-3.21"]);
    assert!(
        said.stdout.contains("3154124 bytes (3.0 MiB)"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("images.linuxcontainers.org"));
    let said = lab.run(&["show", "alpine-3.24-minirootfs", "--arch", "amd64"]);
    assert!(said.stdout.contains("size unknown"), "{}", said.stdout);
    let document = json(&lab.run(&["--json", "show", "ubuntu:noble"]).stdout);
    assert_eq!(document["image"], "ubuntu-24.04");
    assert!(document["pins"][0]["sources"][0]["url"].is_string());
}

#[test]
fn offline_is_exit_4_and_pull_never_means_the_same() {
    let (lab, server, _) = demo();
    for arguments in [
        &["--offline", "ensure", "demo-1.0"][..],
        &["ensure", "demo-1.0", "--pull", "never"],
    ] {
        let said = lab.demo(arguments);
        assert_eq!(said.code, Some(4), "{said:?}");
        assert!(said.stderr.contains("not cached"), "{}", said.stderr);
    }
    assert_eq!(server.connections(), 0);
    lab.demo(&["ensure", "demo-1.0"]);
    assert_eq!(lab.demo(&["--offline", "ensure", "demo-1.0"]).code, Some(0));
}

#[test]
fn a_url_with_its_hash_is_cached_like_a_pin() {
    let (lab, server, bytes) = demo();
    let (url, hash) = (server.url("/any/thing.tar"), sha256(&bytes).to_string());
    let said = lab.run(&["ensure", &url, "--sha256", &hash]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(std::fs::read(said.stdout.trim_end()).unwrap(), bytes);
    assert!(said.stdout.trim_end().ends_with("/thing.tar"));
    let again = lab.run(&["--offline", "ensure", &url, "--sha256", &hash]);
    assert_eq!((again.code, again.stdout), (Some(0), said.stdout));
    let wrong = lab.run(&["ensure", &url, "--sha256", &"1".repeat(64)]);
    assert_eq!(wrong.code, Some(7));
}

#[test]
fn output_is_left_where_asked_and_never_overwrites_by_itself() {
    let (lab, _server, bytes) = demo();
    let target = lab.path("out.tar.xz");
    let text = target.to_str().unwrap();
    let said = lab.demo(&["ensure", "demo-1.0", "-o", text]);
    assert_eq!(
        (said.code, said.stdout.trim_end()),
        (Some(0), text),
        "{said:?}"
    );
    assert_eq!(std::fs::read(&target).unwrap(), bytes);
    // The same again is success; another file in the way is not touched.
    assert_eq!(lab.demo(&["ensure", "demo-1.0", "-o", text]).code, Some(0));
    std::fs::write(&target, b"mine").unwrap();
    let said = lab.demo(&["ensure", "demo-1.0", "-o", text]);
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.stderr.contains("--force"));
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    assert_eq!(
        lab.demo(&["ensure", "demo-1.0", "-o", text, "--force"])
            .code,
        Some(0)
    );
    assert_eq!(std::fs::read(&target).unwrap(), bytes);
    // What the user does to the output does not reach the cache.
    std::fs::write(&target, b"changed").unwrap();
    assert_eq!(lab.demo(&["verify"]).code, Some(0));
}

#[test]
fn flags_beat_variables() {
    let (lab, _server, _) = demo();
    let other = Lab::new();
    let catalog = lab.path("catalog.json");
    let base = || {
        let mut command = distro_fetch();
        command
            .env("DISTRO_FETCH_CACHE_DIR", lab.cache())
            .env("DISTRO_FETCH_CATALOG", &catalog)
            .env("DISTRO_FETCH_ARCH", "amd64")
            .env("DISTRO_FETCH_OFFLINE", "0");
        command
    };
    let by_variable = said(base().args(["ensure", "demo-1.0"]));
    assert!(
        by_variable
            .stdout
            .starts_with(lab.cache().to_str().unwrap()),
        "{by_variable:?}"
    );
    let by_flag = said(
        base()
            .arg("--cache-dir")
            .arg(other.cache())
            .args(["ensure", "demo-1.0"]),
    );
    assert!(
        by_flag.stdout.starts_with(other.cache().to_str().unwrap()),
        "{by_flag:?}"
    );
    let offline = said(base().env("DISTRO_FETCH_OFFLINE", "1").args([
        "--cache-dir",
        Lab::new().cache().to_str().unwrap(),
        "ensure",
        "demo-1.0",
    ]));
    assert_eq!(offline.code, Some(4));
    let xdg = said(
        distro_fetch()
            .env("XDG_CACHE_HOME", "/x")
            .args(["cache", "dir"]),
    );
    assert_eq!(xdg.stdout, "/x/distro-fetch\n");
    let home = said(distro_fetch().env("HOME", "/h").args(["cache", "dir"]));
    assert_eq!(home.stdout, "/h/.cache/distro-fetch\n");
    assert_eq!(said(distro_fetch().args(["cache", "dir"])).code, Some(8));
}

#[test]
fn a_bad_catalog_is_exit_9_with_its_place() {
    let lab = Lab::new();
    std::fs::write(lab.path("catalog.json"), "{\n  \"schema\": 2\n}").unwrap();
    let said = lab.demo(&["list"]);
    assert_eq!(said.code, Some(9));
    assert!(
        said.stderr.contains("catalog.json:2:13: schema 2 is newer"),
        "{}",
        said.stderr
    );
}

#[test]
fn completions_and_manual_pages_come_from_the_definition() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = lab.run(&["completions", shell]);
        assert_eq!(said.code, Some(0));
        assert!(said.stdout.contains("ensure"));
    }
    assert!(lab.run(&["man"]).stdout.contains(".TH distro"));
    let folder = lab.path("man");
    assert_eq!(lab.run(&["man", folder.to_str().unwrap()]).code, Some(0));
    for page in [
        "distro-fetch.1",
        "distro-fetch-ensure.1",
        "distro-fetch-cache-prune.1",
    ] {
        assert!(folder.join(page).is_file(), "{page}");
    }
}

#[test]
fn json_progress_is_one_object_per_line() {
    let (lab, _server, _) = demo();
    let said = lab.demo(&["--progress", "json", "ensure", "demo-1.0"]);
    let events: Vec<_> = said
        .stderr
        .lines()
        .map(|line| json(line)["event"].clone())
        .collect();
    assert_eq!(events.first().unwrap(), "source");
    assert_eq!(events.last().unwrap(), "done");
}

#[test]
fn quiet_says_nothing_and_none_only_hides_progress() {
    for how in [&["-q"][..], &["--progress", "none"]] {
        let (lab, _server, _) = demo();
        let mut arguments = how.to_vec();
        arguments.extend(["ensure", "demo-1.0"]);
        let said = lab.demo(&arguments);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "\"$0\" --cache-dir /nonexistent/cache list | head -n 1",
    ]);
    let said = said(command.arg(env!("CARGO_BIN_EXE_distro-fetch")));
    assert!(said.stdout.starts_with("IMAGE"), "{said:?}");
    assert!(said.stderr.is_empty(), "{said:?}");
}

#[test]
fn an_interrupt_keeps_what_arrived_and_says_so() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let bytes = noise(400_000);
    let body = bytes.clone();
    let server = Server::start(move |seen, _| {
        let mut steps = crate::server::file(&body, seen);
        if seen.range_start().is_none() {
            let crate::server::Step::Send(bytes) = &mut steps[1] else {
                unreachable!()
            };
            bytes.truncate(100_000);
            steps.push(crate::server::Step::Stall);
        }
        steps
    });
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let lab = Lab::new();
        let catalog = lab.catalog(&[("demo-1.0", &server.url("/20260101.tar"), &bytes)]);
        let mut command = lab.command(&catalog);
        command
            .args(["--arch", "amd64", "ensure", "demo-1.0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let part = lab
            .cache()
            .join(format!("v1/partial/{}.part", sha256(&bytes)));
        let deadline = Instant::now() + Duration::from_secs(20);
        while part.metadata().map_or(0, |meta| meta.len()) < 100_000 {
            assert!(Instant::now() < deadline, "nothing arrived");
            std::thread::sleep(Duration::from_millis(5));
        }
        let kill = std::process::Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("what has arrived is kept"), "{stderr}");
        assert!(output.stdout.is_empty());
        let said = lab.demo(&["ensure", "demo-1.0"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(server.seen().last().unwrap().range_start(), Some(100_000));
    }
}
