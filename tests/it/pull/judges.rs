//! Docker's own registry, and other people's tools on what we keep.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kit::{CONFIG, LAYER, MANIFEST, digest, with_home};
use crate::crash::strace::required;
use crate::harness::{Lab, distro_fetch, noise, shared};
use crate::server::{Server, reply};

/// A registry of its own process, on storage that outlives it. It ends with its value.
struct Daemon {
    child: Option<Child>,
    port: u16,
    folder: PathBuf,
    auth: String,
}

impl Daemon {
    fn start(lab: &Lab) -> Self {
        Self::with_auth(lab, "")
    }

    /// With an `auth` section of its configuration.
    fn with_auth(lab: &Lab, auth: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut daemon = Self {
            child: None,
            port: port.local_addr().unwrap().port(),
            folder: lab.path("registry"),
            auth: auth.to_owned(),
        };
        drop(port);
        fs::create_dir_all(&daemon.folder).unwrap();
        daemon.run();
        daemon
    }

    /// Starts it, again on the same port, and waits until it listens.
    fn run(&mut self) {
        self.stop();
        let config = self.folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:{}\"}}\n{}",
            self.folder.join("storage").display(),
            self.port,
            self.auth
        );
        fs::write(&config, text).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it does not listen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What was asked, one line each.
    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn name(&self, end: &str) -> String {
        format!("127.0.0.1:{}/{end}", self.port)
    }

    /// Where a blob's bytes are.
    fn data(&self, hex: &str) -> PathBuf {
        let blobs = "storage/docker/registry/v2/blobs/sha256";
        self.folder
            .join(format!("{blobs}/{}/{hex}/data", &hex[..2]))
    }

    /// Puts an image where the registry keeps such, without asking it.
    fn plant(&self, repository: &str, tag: &str, manifest: &[u8], blobs: &[&[u8]]) {
        let root = self.folder.join("storage/docker/registry/v2/repositories");
        let write = |path: &Path, bytes: &[u8]| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        for bytes in blobs.iter().chain([&manifest]) {
            let digest = digest(bytes);
            let hex = &digest["sha256:".len()..];
            write(&self.data(hex), bytes);
            let link = format!("{repository}/_layers/sha256/{hex}/link");
            write(&root.join(link), digest.as_bytes());
        }
        let digest = digest(manifest);
        let hex = &digest["sha256:".len()..];
        for link in [
            format!("revisions/sha256/{hex}/link"),
            format!("tags/{tag}/current/link"),
            format!("tags/{tag}/index/sha256/{hex}/link"),
        ] {
            let path = root.join(format!("{repository}/_manifests/{link}"));
            write(&path, digest.as_bytes());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether the judges are here. In CI they must be.
fn judges() -> bool {
    ["docker-registry", "skopeo", "umoci", "htpasswd"]
        .iter()
        .all(|judge| {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {judge}")])
                .output();
            required(judge, found.is_ok_and(|output| output.status.success()))
        })
}

fn good(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let told = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {told}");
    String::from_utf8(stdout).unwrap()
}

/// Copies an image into the registry as it is.
fn push(from: &str, daemon: &Daemon, to: &str) {
    good(
        Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "-q",
                "--dest-tls-verify=false",
                from,
            ])
            .arg(format!("docker://{}", daemon.name(to))),
    );
}

fn digest_of(daemon: &Daemon, name: &str) -> String {
    let text = good(
        Command::new("skopeo")
            .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
            .arg(format!("docker://{}", daemon.name(name))),
    );
    text.trim_end().to_owned()
}

const ALPINE: [(&str, &str); 3] = [
    ("oci:{}/alpine-umoci:final", "alpine:final"),
    ("oci:{}/alpine-zstd", "alpine:zstd"),
    ("dir:{}/alpine-v2s2-dir", "alpine:v2s2"),
];

/// A registry with Alpine in three kinds.
fn alpine(lab: &Lab) -> Option<Daemon> {
    if !judges() {
        return None;
    }
    let images = shared("images/oci")?;
    let daemon = Daemon::start(lab);
    for (from, to) in ALPINE {
        push(&from.replace("{}", images.to_str().unwrap()), &daemon, to);
    }
    Some(daemon)
}

#[test]
fn what_is_pulled_is_read_by_others() {
    let lab = Lab::new();
    let Some(daemon) = alpine(&lab) else { return };
    let layout = lab.cache().join("v1/oci");
    for (_, name) in ALPINE {
        let pinned = digest_of(&daemon, name);
        let tag = daemon.name(name);
        let said = lab.run(&["pull", "--platform", "linux/amd64", &tag, "--insecure"]);
        let expect = daemon.name(&format!("alpine@{pinned}"));
        assert_eq!(said.stdout, format!("{expect}\n"), "{said:?}");
        let names = good(Command::new("umoci").args(["ls", "--layout"]).arg(&layout));
        for name in [&tag, &expect] {
            assert!(names.lines().any(|line| line == name), "{names}");
        }
        if name == "alpine:v2s2" {
            // Not every skopeo takes Docker's types from an OCI layout.
            continue;
        }
        let source = format!("oci:{}:{tag}", layout.display());
        let text = good(Command::new("skopeo").args(["inspect", &source]));
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["Digest"], pinned, "{told}");
        // It reads and hashes every layer.
        let copy = format!("dir:{}", lab.path(&name.replace(':', "-")).display());
        good(Command::new("skopeo").args(["--insecure-policy", "copy", "-q", &source, &copy]));
    }
    let said = lab.run(&["verify"]);
    assert_eq!(
        (said.code, said.stdout.lines().count()),
        (Some(0), 3),
        "{said:?}"
    );
}

#[test]
fn what_is_converted_is_what_umoci_unpacks() {
    if !distro_fetch::sys::is_root() {
        eprintln!("umoci's tree is compared by root only");
        return;
    }
    let lab = Lab::new();
    let Some(daemon) = alpine(&lab) else { return };
    let images = shared("images/oci").unwrap();
    let bundle = lab.path("bundle");
    let layout = format!("{}:final", images.join("alpine-umoci").display());
    good(
        Command::new("umoci")
            .args(["unpack", "--image", &layout])
            .arg(&bundle),
    );
    let digest = |path: &Path| {
        let said = lab.run(&["digest", path.to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout
    };
    let expect = digest(&bundle.join("rootfs"));
    // The same image in three kinds.
    for (number, (_, name)) in ALPINE.iter().enumerate() {
        let source = format!(
            "docker://{}@{}",
            daemon.name("alpine"),
            digest_of(&daemon, name)
        );
        let target = lab.path(&format!("tree-{number}"));
        let output = format!("{}/", target.display());
        let platform = ["--platform", "linux/amd64", "--insecure"];
        let convert = ["convert", &source, "-o", &output];
        let said = lab.run(&[&convert[..], &platform].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(digest(&target), expect, "{name}");
        // From the cache, when nobody can be asked.
        let tar = lab.path(&format!("tree-{number}.tar"));
        let convert = ["convert", &source, "-o", tar.to_str().unwrap(), "--offline"];
        let said = lab.run(&[&convert[..], &platform].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(digest(&tar), expect, "{name}");
    }
}

#[test]
fn a_flipped_byte_in_its_storage_is_exit_7() {
    let lab = Lab::new();
    let Some(daemon) = alpine(&lab) else { return };
    let pinned = digest_of(&daemon, "alpine:final");
    let manifest = fs::read(daemon.data(&pinned["sha256:".len()..])).unwrap();
    let document: Value = serde_json::from_slice(&manifest).unwrap();
    let parts = document["layers"].as_array().unwrap().iter();
    let parts = parts.chain([&document["config"]]);
    let mut blobs: Vec<_> = parts.map(|it| it["digest"].as_str().unwrap()).collect();
    blobs.push(&pinned);
    for blob in blobs {
        let path = daemon.data(&blob["sha256:".len()..]);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        // Of the manifest, a digit of a hash: the registry itself still has to understand it.
        let at = if blob == pinned {
            String::from_utf8_lossy(&good).find("sha256:").unwrap() + 10
        } else {
            good.len() / 2
        };
        bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
        fs::write(&path, &bad).unwrap();
        for end in ["alpine:final", &format!("alpine@{pinned}")] {
            let lab = Lab::new();
            let said = lab.run(&["pull", "--insecure", &daemon.name(end)]);
            assert_eq!(
                (said.code, &*said.stdout),
                (Some(7), ""),
                "{blob} {end}: {said:?}"
            );
            assert!(!lab.cache().join("v1/oci/index.json").exists());
        }
        fs::write(&path, &good).unwrap();
    }
    let said = lab.run(&["pull", &daemon.name("alpine:final")]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn who_it_knows_is_let_in() {
    let lab = Lab::new();
    let Some(daemon) = alpine(&lab) else { return };
    drop(daemon);
    let passwords = lab.path("htpasswd");
    good(
        Command::new("htpasswd")
            .arg("-Bbc")
            .arg(&passwords)
            .args(["me", "secret"]),
    );
    let realm = Server::start(|seen, _| {
        // `me:secret`, or nobody in particular.
        match seen.header("authorization") {
            None | Some("Basic bWU6c2VjcmV0") => reply("200 OK", &[], br#"{"token": "t0ken"}"#),
            Some(_) => reply("401 Unauthorized", &[], b"{}"),
        }
    });
    let basic = format!(
        "auth: {{htpasswd: {{realm: x, path: {}}}}}\n",
        passwords.display()
    );
    // Its stub of a token authority takes any token, and none is none.
    let bearer = format!(
        "auth: {{silly: {{realm: \"{}\", service: test}}}}\n",
        realm.url("/token")
    );
    for (what, auth, anonymous) in [("Basic", basic, 5), ("Bearer", bearer, 0)] {
        let daemon = Daemon::with_auth(&lab, &auth);
        let reference = daemon.name("alpine:final");
        let pull = ["pull", "--insecure", &reference];
        let said = with_home(&Lab::new(), None, &pull);
        assert_eq!(said.code, Some(anonymous), "{what}: {said:?}");
        for (password, code) in [("bWU6c2VjcmV0", 0), ("bWU6d3Jvbmc=", 5)] {
            let host = format!("127.0.0.1:{}", daemon.port);
            let config = json!({ "auths": { host: { "auth": password } } });
            let said = with_home(&Lab::new(), Some(&config), &pull);
            assert_eq!(said.code, Some(code), "{what}: {said:?}");
            assert!(!said.stderr.contains("secret"), "{said:?}");
        }
    }
    assert!(
        realm
            .seen()
            .iter()
            .any(|seen| seen.target.contains("repository%3Aalpine%3Apull")
                || seen.target.contains("repository:alpine:pull"))
    );
}

/// Client and registry are killed in turn, ten times. Then the image is right, and no layer was
/// sent twice in full.
#[test]
fn kills_cost_no_layer_twice() {
    if !judges() {
        return;
    }
    let lab = Lab::new();
    let mut daemon = Daemon::start(&lab);
    let all = noise(96 << 20);
    let layers = [&all[..40 << 20], &all[40 << 20..72 << 20], &all[72 << 20..]];
    let ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({
        "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let config = config.to_string();
    let part = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": part(CONFIG, config.as_bytes()),
        "layers": layers.iter().map(|it| part(LAYER, it)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string();
    let mut blobs = layers.to_vec();
    blobs.push(config.as_bytes());
    daemon.plant("big", "one", manifest.as_bytes(), &blobs);
    let reference = daemon.name("big:one");
    let start = || {
        let mut command = distro_fetch();
        command.arg("--cache-dir").arg(lab.cache());
        command.args(["--retries", "0", "-q", "pull", "--insecure", &reference]);
        command
    };
    for turn in 0..10_u64 {
        let mut client = start()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Later and later, at moments that nobody chose.
        std::thread::sleep(Duration::from_millis(10 + turn * 17 % 90));
        if turn % 2 == 0 {
            let _ = client.kill();
        } else {
            daemon.stop();
        }
        let _ = client.wait();
        if turn % 2 == 1 {
            daemon.run();
        }
        let index = lab.cache().join("v1/oci/index.json");
        if let Ok(text) = fs::read_to_string(index) {
            serde_json::from_str::<Value>(&text).unwrap();
        }
    }
    let output = start().output().unwrap();
    let expect = daemon.name(&format!("big@{}\n", digest(manifest.as_bytes())));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        expect,
        "{output:?}"
    );
    assert_eq!(lab.run(&["verify"]).code, Some(0));
    let log = fs::read_to_string(daemon.log()).unwrap();
    for (layer, id) in layers.iter().zip(&ids) {
        let whole = format!(" 200 {} ", layer.len());
        let asked: Vec<_> = log
            .lines()
            .filter(|line| line.contains(&format!("GET /v2/big/blobs/{id} ")))
            .collect();
        assert!(!asked.is_empty(), "the log tells: {log}");
        let whole = asked.iter().filter(|line| line.contains(&whole)).count();
        assert!(whole <= 1, "{asked:?}");
    }
}
