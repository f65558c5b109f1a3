//! A scratch place that goes whatever was made in it, tars by hand, and other users.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use distro_fetch::sys;

use crate::crash::strace::required;
use crate::harness::{Lab, Said, distro_fetch, said};

/// A lab with trees in it.
pub(super) struct Scene {
    pub(super) lab: Lab,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self { lab: Lab::new() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.lab.path(name)
    }

    /// A file with these bytes.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A directory of the ordinary user that commands are run as.
    pub(super) fn theirs(&self) -> PathBuf {
        let path = self.path("theirs");
        fs::create_dir_all(&path).unwrap();
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        path
    }

    /// The program, with nothing of the cache or the catalog of whoever tests.
    pub(super) fn program(&self) -> Command {
        let mut command = distro_fetch();
        command.arg("--cache-dir").arg(self.lab.cache());
        command
    }

    pub(super) fn unpack(&self, archive: &Path, target: &Path, more: &[&str]) -> Said {
        let mut command = self.program();
        command.arg("unpack").args(more).arg("--");
        said(command.arg(archive).arg(target))
    }

    /// Names here that somebody should have removed.
    pub(super) fn litter(&self) -> Vec<String> {
        litter(&self.path(""))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Modes may lock out whoever made this tree.
        for entry in fs::read_dir(self.path("")).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                let _ = sys::clear_away(&entry.path());
            }
        }
    }
}

/// Hidden names in a directory: those of things half made.
pub(super) fn litter(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect()
}

pub(super) fn is_root() -> bool {
    sys::is_root()
}

pub(super) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Whether a judge is installed. In CI it must be.
pub(super) fn have(judge: &str) -> bool {
    let output = Command::new(judge).arg("--version").output();
    required(judge, output.is_ok_and(|output| output.status.success()))
}

/// Whether the program can be run as an ordinary user: as it is, or by root as somebody else.
pub(super) fn have_somebody_else() -> bool {
    let works = || as_somebody(&distro_fetch()).arg("--version").output();
    required(
        "setpriv, and a checkout that others may read,",
        works().is_ok_and(|output| output.status.success()),
    )
}

/// The same command as an ordinary user: of whoever tests, unless that is root.
pub(super) fn as_somebody(command: &Command) -> Command {
    if is_root() {
        return inside("setpriv", &[SETPRIV], command);
    }
    inside("env", &[], command)
}

/// A command as arguments of another one.
pub(super) fn inside(program: &str, options: &[&[&str]], command: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.env_clear();
    outer.args(options.concat());
    outer.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            outer.env(name, value);
        }
    }
    outer
}

const SETPRIV: &[&str] = &[
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
    "--inh-caps=-all",
];

pub(super) const NOBODY: u32 = 65_534;

/// A tar under construction.
#[derive(Clone, Default)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    /// An entry. What the flag does not call for is empty: link text, data.
    pub(super) fn add(
        mut self,
        flag: u8,
        name: &str,
        mode: u32,
        owner: u32,
        link: &str,
        data: &[u8],
    ) -> Self {
        let mut header = [0; 512];
        let mut put = |at: usize, text: &str| {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, &format!("{owner:07o}"));
        put(116, &format!("{owner:07o}"));
        put(124, &format!("{:011o}", data.len()));
        put(136, "14000000000");
        put(148, "        ");
        put(157, link);
        put(257, "ustar\x0000");
        // Of devices: null's.
        put(329, "0000001\x000000003");
        header[156] = flag;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, name: &str, data: &[u8]) -> Self {
        self.add(b'0', name, 0o644, 0, "", data)
    }

    pub(super) fn folder(self, name: &str, mode: u32) -> Self {
        self.add(b'5', name, mode, 0, "", b"")
    }

    /// The end marker.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// A root file system in small: every type, every kind of owner and mode.
pub(super) fn small() -> Vec<u8> {
    small_of(1000)
}

/// The same, where another user than root has a file.
pub(super) fn small_of(user: u32) -> Vec<u8> {
    Tar::default()
        .folder("./", 0o755)
        .folder("./etc/", 0o755)
        .file("./etc/hostname", b"small\n")
        .add(b'1', "./etc/name", 0o644, 0, "./etc/hostname", b"")
        .add(b'2', "./etc/link", 0o777, 0, "../nowhere", b"")
        .add(b'0', "./bin", 0o4755, 0, "", &[b'x'; 10_000])
        .folder("./closed/", 0)
        .add(b'0', "./closed/file", 0o400, 0, "", b"in the dark")
        .folder("./closed/deep/", 0)
        .add(b'0', "./user", 0o640, user, "", b"of a user")
        .add(b'3', "./null", 0o666, 0, "", b"")
        .add(b'6', "./pipe", 0o600, 0, "", b"")
        .folder("./tmp/", 0o1777)
        .end()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}
