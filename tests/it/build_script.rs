//! `build.rs` judges before it renders: what it refuses, in one line of cargo's, and what it
//! renders from what it accepts.
//!
//! The package is copied into a scratch folder below the target directory and checked there once,
//! without features. After that the build script itself is run on many catalogs: that is cheap.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

/// The copied package, and its build script as cargo has built it.
struct Scratch {
    package: PathBuf,
    script: PathBuf,
}

/// Only one test at a time changes the copy.
static SCRATCH: LazyLock<Mutex<Scratch>> = LazyLock::new(|| Mutex::new(Scratch::new()));

impl Scratch {
    fn new() -> Self {
        let package = folder().join("package");
        for name in PARTS {
            copy(&root().join(name), &package.join(name));
        }
        let mut scratch = Self {
            package,
            script: PathBuf::new(),
        };
        let output = scratch.check(&["--message-format", "json"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        scratch.script = stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|message| {
                let path = message["target"]["src_path"].as_str().unwrap_or_default();
                message["reason"] == "compiler-artifact"
                    && Path::new(path) == scratch.package.join("build.rs")
            })
            .and_then(|message| message["filenames"][0].as_str().map(PathBuf::from))
            .unwrap();
        scratch
    }

    /// `cargo check` of the library alone. In the release profile, because there the crates that
    /// only build scripts and macros need are not optimized.
    fn check(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO"))
            .args([
                "check",
                "--quiet",
                "--release",
                "--offline",
                "--no-default-features",
                "--lib",
            ])
            .args(more)
            .current_dir(&self.package)
            .env("CARGO_TARGET_DIR", folder().join("target"))
            .env("CARGO_TERM_COLOR", "never")
            .output()
            .unwrap()
    }

    /// Runs `meanwhile` while a file of the copy says something else, and puts it back.
    fn with<T>(&self, name: &str, text: &str, meanwhile: impl FnOnce() -> T) -> T {
        let path = self.package.join(name);
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, text).unwrap();
        let outcome = meanwhile();
        fs::write(&path, old).unwrap();
        outcome
    }

    /// Runs the build script alone on a catalog: what it says, and the table.
    fn render(&self, name: &str, catalog: &str) -> (Output, Option<String>) {
        let here = folder().join(name);
        fs::create_dir_all(&here).unwrap();
        fs::write(here.join("catalog.json"), catalog).unwrap();
        let table = here.join("table.rs");
        let _ = fs::remove_file(&table);
        let output = Command::new(&self.script)
            .current_dir(&here)
            .env("OUT_DIR", &here)
            .output()
            .unwrap();
        (output, fs::read_to_string(table).ok())
    }
}

#[test]
fn a_refusal_is_one_line_of_cargo() {
    let scratch = scratch();
    let bad = CATALOG.replace("\"schema\": 1", "\"schema\": 1, \"schema\": 1");
    let output = scratch.with("catalog.json", &bad, || scratch.check(&[]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    let lines: Vec<_> = stderr
        .lines()
        .filter(|line| line.starts_with("error: distro-fetch@"))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        lines,
        [format!(
            "error: distro-fetch@{version}: catalog.json:2:16: duplicate key \"schema\""
        )],
        "{stderr}"
    );
}

#[test]
fn what_is_refused_leaves_no_table() {
    let scratch = scratch();
    for (bad, expect) in [
        (
            String::new(),
            "1:1: malformed JSON: EOF while parsing a value",
        ),
        (
            CATALOG.replace("\"schema\": 1", "\"schema\": 2"),
            "2:13: schema 2 is newer than this program, which reads schema 1",
        ),
        (
            CATALOG.replace("https://up", "http://up"),
            "3:31: a URL that is not https",
        ),
        (
            CATALOG.replace("\"size\": 7", "\"size\": 0"),
            "12:19: size 0: leave it out where no source tells it",
        ),
        // One line, whatever the key says; a key with escapes is told at its value.
        (
            CATALOG.replace("\"title\"", "\"name\\n\\r\\u001b[2J\""),
            "6:67: an image has no field \"name\\n\\r\\u{1b}[2J\"",
        ),
        (
            CATALOG.replace("/3.21.3/x", "/latest/3.21.3"),
            "10:18: the URL names a moving target: a path segment `latest`",
        ),
        (
            CATALOG.replace("\"3.21.3\"", "\"3\\\"#; compile_error!(\\\"x\\\"); //\""),
            "9:23: malformed snapshot \"3\\\"#; compile_error!(\\\"x\\\"); //\": \
             letters, digits and ._:+~- only",
        ),
        (
            "[".repeat(10_000),
            "1:10000: malformed JSON: EOF while parsing a list",
        ),
    ] {
        let (output, table) = scratch.render("refused", &bad);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stdout}");
        let errors: Vec<_> = stdout
            .lines()
            .filter(|line| !line.starts_with("cargo::rerun-if-changed="))
            .collect();
        assert_eq!(errors, [format!("cargo::error=catalog.json:{expect}")]);
        assert_eq!(table, None);
    }
}

#[test]
fn a_table_is_a_pure_function_of_what_the_catalog_says() {
    let scratch = scratch();
    let (output, table) = scratch.render("rendered", CATALOG);
    assert!(output.status.success(), "{output:?}");
    let table = table.unwrap();
    let value: Value = serde_json::from_str(CATALOG).unwrap();
    for same in [
        value.to_string(),
        CATALOG.replace('\n', "\r\n\t"),
        distro_fetch::Catalog::parse(CATALOG, distro_fetch::catalog::Rules::Embedded)
            .unwrap()
            .to_json(),
    ] {
        assert_ne!(same, CATALOG);
        assert_eq!(scratch.render("rendered", &same).1.as_ref(), Some(&table));
    }
    let other = CATALOG.replace("\"size\": 7", "\"size\": 8");
    assert_ne!(scratch.render("rendered", &other).1, Some(table));
}

#[test]
fn any_text_stays_a_literal() {
    let scratch = scratch();
    let title = "\"#; compile_error!(\"x\"); // \\ {{ it }} {% if %} ' ü ☃ \u{202e} \u{feff} */";
    let catalog = CATALOG.replace("\"plain\"", &serde_json::to_string(title).unwrap());
    let (output, table) = scratch.render("literal", &catalog);
    assert!(output.status.success(), "{output:?}");
    assert!(table.unwrap().contains(&format!("{title:?}")));

    // The library says, at compile time, that it holds the very text.
    let lib = fs::read_to_string(scratch.package.join("src/lib.rs")).unwrap();
    let lib = format!(
        "{lib}
const _: () = {{
    let image = catalog::pinned_image(\"alpine-3.21\").unwrap();
    let Some(std::borrow::Cow::Borrowed(title)) = &image.title else {{ panic!() }};
    let (title, expect) = (title.as_bytes(), {title:?}.as_bytes());
    assert!(title.len() == expect.len());
    let mut at = 0;
    while at < title.len() {{
        assert!(title[at] == expect[at]);
        at += 1;
    }}
}};
"
    );
    let output = scratch.with("catalog.json", &catalog, || {
        scratch.with("src/lib.rs", &lib, || scratch.check(&[]))
    });
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
}

#[test]
fn an_unknown_name_does_not_compile() {
    let scratch = scratch();
    let lib = fs::read_to_string(scratch.package.join("src/lib.rs")).unwrap();
    let use_of = |name: &str| {
        let text =
            format!("{lib}\nconst _: &catalog::Pin = crate::pinned!({name:?}, \"amd64\");\n");
        let output = scratch.with("src/lib.rs", &text, || scratch.check(&[]));
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (compiles, stderr) = use_of("alpine-3.21");
    assert!(compiles, "{stderr}");
    let (compiles, stderr) = use_of("alpin-3.21");
    assert!(!compiles);
    let message = "the catalog has no pin of this name and architecture";
    assert!(stderr.contains(message), "{stderr}");
}

/// The copy, for one test at a time: of this process, and of others where each test is one.
fn scratch() -> Alone {
    fs::create_dir_all(folder()).unwrap();
    let lock = fs::File::create(folder().join("lock")).unwrap();
    lock.lock().unwrap();
    let scratch = SCRATCH.lock();
    Alone {
        scratch: scratch.unwrap_or_else(std::sync::PoisonError::into_inner),
        _lock: lock,
    }
}

struct Alone {
    scratch: std::sync::MutexGuard<'static, Scratch>,
    _lock: fs::File,
}

impl std::ops::Deref for Alone {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        &self.scratch
    }
}

/// Copies what has changed, so that cargo builds again only what has changed.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
        return;
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let bytes = fs::read(from).unwrap();
    if fs::read(to).ok().as_ref() != Some(&bytes) {
        fs::write(to, bytes).unwrap();
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("build-script")
}

/// What a package consists of; `tests` and the rest only because the manifest names them.
const PARTS: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "benches",
    "build.rs",
    "catalog.json",
    "contrib/refresh",
    "examples",
    "src",
    "templates",
    "tests",
];

const CATALOG: &str = r#"{
  "schema": 1,
  "origins": { "up": { "url": "https://up.example/", "retention": "permanent" } },
  "images": {
    "alpine-3.21": {
      "distro": "alpine", "version": "3.21", "title": "plain", "kind": "rootfs",
      "source": { "type": "fixed", "origin": "up" }, "arches": ["amd64", "arm64"],
      "pins": { "amd64": {
          "snapshot": "3.21.3",
          "url": "https://up.example/3.21.3/x",
          "sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "size": 7
      } }
    }
  }
}
"#;
