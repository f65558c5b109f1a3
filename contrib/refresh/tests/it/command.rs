//! `cargo refresh` as a person runs it: a copy of the catalog, servers on loopback, exit codes.

use std::path::{Path, PathBuf};
use std::process::Command;

use distro_fetch::Catalog;
use distro_fetch::catalog::Rules;
use serde_json::Value;

use crate::server::{Server, file, reply};
use crate::table::pins;

/// A scratch folder with a copy of the catalog that has no pins. It goes with its value.
struct Lab {
    folder: PathBuf,
}

impl Lab {
    fn new(name: &str) -> Self {
        let folder = format!("distro-fetch-refresh-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let lab = Self { folder };
        let text = std::fs::read_to_string(root().join("catalog.json")).unwrap();
        let mut document: Value = serde_json::from_str(&text).unwrap();
        for image in document["images"].as_object_mut().unwrap().values_mut() {
            image["pins"] = serde_json::json!({});
        }
        let catalog = Catalog::parse(&document.to_string(), Rules::Embedded).unwrap();
        std::fs::write(lab.path("catalog.json"), catalog.to_json()).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn catalog(&self) -> Catalog {
        Catalog::parse(&self.text("catalog.json"), Rules::Embedded).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_refresh"))
            .arg("--catalog")
            .arg(self.path("catalog.json"))
            .args(arguments)
            .env("SOURCE_DATE_EPOCH", "1769688000") // 2026-01-29T12:00:00Z
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The command of the issue: Alpine's images of linuxcontainers.
    fn follow(&self, server: &Server, more: &[&str]) -> Said {
        let origin = format!("linuxcontainers={}", server.url("/"));
        let summary = self.path("pr.md");
        let mut arguments = vec!["--only", "alpine-*", "--origin", &origin, "--summary"];
        arguments.push(summary.to_str().unwrap());
        arguments.extend(more);
        self.run(&arguments)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// linuxcontainers.org as it was on a day.
fn linuxcontainers(day: &str) -> Server {
    documents(day, |_, text| text)
}

/// The same with an edit of each document: its name, its text.
fn documents(day: &str, edit: impl Fn(&str, String) -> String) -> Server {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/linuxcontainers")
        .join(day)
        .join("streams/v1");
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        edit(name, text)
    };
    let (index, images) = (read("index.json"), read("images.json"));
    Server::start(move |seen, _| match seen.target.as_str() {
        "/streams/v1/index.json" => file(index.as_bytes(), seen),
        "/streams/v1/images.json" => file(images.as_bytes(), seen),
        _ => reply("404 Not Found", &[], b""),
    })
}

/// `alpine-X arch: snapshot` of linuxcontainers, as the document of a day has it.
fn alpine(snapshot: &str) -> Vec<String> {
    ["3.20", "3.21", "3.22", "3.23", "edge"]
        .map(|version| format!("alpine-{version} amd64: {snapshot}"))
        .to_vec()
}

#[test]
fn pins_are_found_and_then_moved() {
    let lab = Lab::new("moved");
    let january = linuxcontainers("2026-01-15");
    lab.follow(&january, &[]).expect(10);
    assert_eq!(pins(&lab.catalog()), alpine("20260114_13:00"));
    assert_eq!(january.seen().len(), 2, "one request per document");

    let later = linuxcontainers("2026-01-29");
    let said = lab.follow(&later, &[]);
    said.expect(10);
    assert!(
        said.out.starts_with("catalog: 5 pins moved (alpine-3.20, "),
        "{}",
        said.out
    );
    let catalog = lab.catalog();
    assert_eq!(pins(&catalog), alpine("20260128_13:00"));
    // The real values, with the official address.
    let text = lab.text("catalog.json");
    let pin = catalog.get("alpine-3.20").unwrap().pins[0].clone();
    assert_eq!(
        (
            pin.address.to_string().as_str(),
            pin.sha256.to_string().as_str(),
            pin.size
        ),
        (
            "https://images.linuxcontainers.org/images/alpine/3.20/amd64/default/20260128_13:00/rootfs.tar.xz",
            "309814a3f731cf4bc404e5bda370ebd57b465fec1de991f4dc52e1a8e42c94e2",
            Some(3_139_504)
        )
    );
    assert!(!text.contains("127.0.0.1"));
    let summary = lab.text("pr.md");
    for part in [
        "# catalog: 5 pins moved",
        "| alpine-3.20 | amd64 | `20260114_13:00` → `20260128_13:00` | `b537fca5e38e` → \
         `309814a3f731` | 3.0 MiB, +0.0 % | linuxcontainers | the newest 3 builds | https |",
        "9 images of alpine were not asked for.",
    ] {
        assert!(summary.contains(part), "{part}\n{summary}");
    }

    // Again: nothing, to the byte and to the inode.
    let inode = |path: PathBuf| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let before = inode(lab.path("catalog.json"));
    lab.follow(&later, &[]).expect(0);
    assert_eq!(lab.text("catalog.json"), text);
    assert_eq!(inode(lab.path("catalog.json")), before, "not even written");

    // The older document: refused, and told.
    let said = lab.follow(&january, &[]);
    said.expect(1);
    assert!(
        said.out.contains("alpine-3.20 amd64 and 4 more: older: "),
        "{}",
        said.out
    );
    assert!(said.err.contains("nothing is written"), "{}", said.err);
    assert_eq!(lab.text("catalog.json"), text);
    assert!(lab.text("pr.md").contains("**Nothing was written**"));
}

/// Without one product, in the index and in the document.
fn without_321(name: &str, text: &str) -> String {
    let mut document: Value = serde_json::from_str(text).unwrap();
    let gone = "alpine:3.21:amd64:default";
    if name == "index.json" {
        let products = &mut document["index"]["images"]["products"];
        products.as_array_mut().unwrap().retain(|it| it != gone);
    } else {
        document["products"]
            .as_object_mut()
            .unwrap()
            .remove(gone)
            .unwrap();
    }
    document.to_string()
}

#[test]
fn one_failure_stops_all_unless_told_to_keep_going() {
    let lab = Lab::new("all-or-nothing");
    lab.follow(&linuxcontainers("2026-01-15"), &[]).expect(10);
    let before = lab.text("catalog.json");
    let server = documents("2026-01-29", |name, text| without_321(name, &text));

    let said = lab.follow(&server, &[]);
    said.expect(1);
    assert!(
        said.out.contains("alpine-3.21 amd64: not listed: "),
        "{}",
        said.out
    );
    assert_eq!(lab.text("catalog.json"), before);

    let subject = lab.path("subject");
    let more = ["--keep-going", "--subject", subject.to_str().unwrap()];
    lab.follow(&server, &more).expect(11);
    let mut expect = alpine("20260128_13:00");
    expect[1] = "alpine-3.21 amd64: 20260114_13:00".to_owned();
    assert_eq!(pins(&lab.catalog()), expect);
    let summary = lab.text("pr.md");
    assert!(
        summary.contains("streams/v1/index.json | alpine-3.21 amd64 `20260114_13:00` |"),
        "{summary}"
    );
    assert!(lab.text("subject").starts_with("catalog: 4 pins moved ("));
    // Nothing new, and still one that failed.
    lab.follow(&server, &["--keep-going"]).expect(11);
    assert_eq!(pins(&lab.catalog()), expect);
}

#[test]
fn check_and_dry_run_write_nothing() {
    let lab = Lab::new("modes");
    let server = linuxcontainers("2026-01-29");
    let before = lab.text("catalog.json");
    for (mode, told) in [
        ("--check", "would change"),
        ("--dry-run", "+          \"sha256\": "),
    ] {
        let said = lab.follow(&server, &[mode]);
        said.expect(10);
        assert!(said.out.contains(told), "{mode}: {}", said.out);
        assert_eq!(lab.text("catalog.json"), before, "{mode}");
    }
    lab.run(&["--offline", "--check"]).expect(0);
    std::fs::write(lab.path("catalog.json"), before.replace("  ", "\t")).unwrap();
    lab.run(&["--offline", "--check"]).expect(10);
    lab.run(&["--offline"]).expect(10);
    assert_eq!(lab.text("catalog.json"), before);
}

#[test]
fn a_server_that_never_ends_is_left() {
    let lab = Lab::new("endless");
    let head = |length: Option<u64>| {
        let length = length.map_or(String::new(), |it| format!("Content-Length: {it}\r\n"));
        format!("HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n").into_bytes()
    };
    // Announced: refused before a byte is read. Not announced: at the limit.
    let announced = head(Some(65 << 20));
    let server = Server::start(move |_, _| {
        vec![
            crate::server::Step::Send(announced.clone()),
            crate::server::Step::Stall,
        ]
    });
    let said = lab.follow(&server, &["--retries", "0"]);
    said.expect(1);
    assert!(said.out.contains("malformed: "), "{}", said.out);
    assert!(
        said.out.contains("larger than 67108864 bytes"),
        "{}",
        said.out
    );
    let endless = head(None);
    let server = Server::start(move |_, _| {
        let spaces = vec![b' '; 1 << 20];
        vec![
            crate::server::Step::Send(endless.clone()),
            crate::server::Step::Repeat(spaces, std::time::Duration::ZERO),
        ]
    });
    let said = lab.follow(&server, &["--retries", "0"]);
    said.expect(1);
    assert!(
        said.out.contains("larger than 67108864 bytes"),
        "{}",
        said.out
    );
}

#[test]
fn an_error_page_is_not_a_document() {
    let lab = Lab::new("pages");
    let before = lab.text("catalog.json");
    for (status, body, told) in [
        ("503 Service Unavailable", "busy", "network: "),
        ("200 OK", "<html>we are back soon</html>", "malformed: "),
        ("403 Forbidden", "", "network: "),
    ] {
        let server = Server::start(move |_, _| reply(status, &[], body.as_bytes()));
        let said = lab.follow(&server, &["--retries", "0"]);
        said.expect(1);
        assert!(said.out.contains(told), "{status}: {}", said.out);
        assert_eq!(lab.text("catalog.json"), before);
    }
}

#[test]
fn mistakes_are_told() {
    let lab = Lab::new("mistakes");
    for (arguments, code, told) in [
        (&["--only", "alpin"][..], 1, "no image is called \"alpin\""),
        (
            &["--origin", "nobody=http://127.0.0.1:1/"],
            1,
            "neither an origin",
        ),
        (
            &["--origin", "linuxcontainers/nobody=http://127.0.0.1:1/"],
            1,
            "no mirror \"nobody\"",
        ),
        (&["--origin", "linuxcontainers"], 2, "NAME=URL is expected"),
        (&["--keys", "/nonexistent"], 1, "/nonexistent"),
        (&["--check", "--dry-run"], 2, "cannot be used with"),
    ] {
        let said = lab.run(arguments);
        said.expect(code);
        assert!(said.err.contains(told), "{arguments:?}: {}", said.err);
    }
    let missing = lab.path("none.json");
    let said = lab.run(&["--catalog", missing.to_str().unwrap()]);
    said.expect(2); // the option stands twice
}

#[test]
fn what_cannot_be_written_leaves_the_old_catalog() {
    // A limit on the size of files stops the write in the middle, as a full disk does.
    let lab = Lab::new("full");
    let before = lab.text("catalog.json");
    let server = linuxcontainers("2026-01-29");
    let origin = format!("linuxcontainers={}", server.url("/"));
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_refresh"))
        .arg("--catalog")
        .arg(lab.path("catalog.json"))
        .args(["--only", "alpine-*", "--origin", &origin])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("cannot write ") && told.contains("too large"),
        "{told}"
    );
    assert_eq!(lab.text("catalog.json"), before);
    let left = std::fs::read_dir(&lab.folder).unwrap().count();
    assert_eq!(left, 1, "nothing beside it");
}
