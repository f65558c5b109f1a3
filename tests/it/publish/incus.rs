//! A laboratory with the `incus` client in it: a folder, served by https on loopback, as a remote of
//! simplestreams. No daemon is needed to look at such a remote and to export from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::crash::strace::required;
use crate::harness::Lab;
use crate::server::{Seen, Server, Step, file, reply};
use crate::tls::Authority;

/// Whether the client and its companion `incus-simplestreams` are there. In CI they must.
pub(crate) fn works() -> bool {
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok();
    required("incus", runs("incus") && runs("incus-simplestreams"))
}

/// A client with a home of its own, and the remote `m:`.
pub(crate) struct Incus {
    lab: Lab,
    server: Server,
}

impl Incus {
    /// Serves a folder, as any static server does.
    pub(crate) fn at(root: &Path) -> Self {
        let lab = Lab::new();
        let authority = Authority::new();
        fs::write(lab.path("ca.pem"), authority.pem()).unwrap();
        let root = root.to_owned();
        let config = authority.server(&["127.0.0.1"], |_| {});
        let server = Server::with_tls(config, move |seen, _| answer(&root, seen));
        let incus = Self { lab, server };
        incus.forget();
        incus
    }

    /// Goes to a new home: an index is kept for an hour.
    pub(crate) fn forget(&self) {
        let home = self.home();
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        let url = self.server.url("/");
        self.good(&["remote", "add", "m", &url, "--protocol", "simplestreams"]);
    }

    /// What the client says.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("incus");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("SSL_CERT_FILE", self.lab.path("ca.pem"))
            .args(arguments);
        command.output().unwrap()
    }

    /// The same, and it has nothing to complain of.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "incus {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every image of the remote.
    pub(crate) fn images(&self) -> Vec<Value> {
        let list = self.good(&["image", "list", "m:", "--format", "json"]);
        serde_json::from_str(&list).unwrap()
    }

    /// The files of an image as the client exports them, largest last; or what it says instead.
    pub(crate) fn export(&self, image: &str, more: &[&str]) -> Result<Vec<Vec<u8>>, String> {
        let target = self.lab.path("export");
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(&target).unwrap();
        let image = format!("m:{image}");
        let arguments = [&["image", "export", &image, target.to_str().unwrap()], more].concat();
        let output = self.run(&arguments);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let files = fs::read_dir(target).unwrap();
        let mut files: Vec<Vec<u8>> = files
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect();
        files.sort_by_key(Vec::len);
        Ok(files)
    }

    fn home(&self) -> PathBuf {
        self.lab.path("home")
    }
}

/// What `incus-simplestreams verify` says of a folder: nothing, if it is right.
pub(crate) fn verify(root: &Path) -> Result<(), String> {
    let mut command = Command::new("incus-simplestreams");
    let output = command.arg("verify").current_dir(root).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn answer(root: &Path, seen: &Seen) -> Vec<Step> {
    let path = seen.target.replace("%3A", ":");
    match fs::read(root.join(path.trim_start_matches('/'))) {
        Ok(bytes) => file(&bytes, seen),
        Err(_) => reply("404 Not Found", &[], b""),
    }
}
