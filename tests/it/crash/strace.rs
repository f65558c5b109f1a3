//! strace: what it recorded, and what it is told to do.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::Said;

/// Whether strace works here. In CI it must.
pub(crate) fn works() -> bool {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    required("strace", works)
}

/// Whether we may mount in a namespace of our own. In CI we must.
pub(crate) fn mounts_work() -> bool {
    let output = unshare("mount -t tmpfs none /mnt").output();
    required(
        "unshare and mount",
        output.is_ok_and(|output| output.status.success()),
    )
}

/// Whether a judge works here. In CI it must.
pub(crate) fn required(what: &str, works: bool) -> bool {
    assert!(
        works || std::env::var_os("CI").is_none(),
        "{what} does not work, and this is CI"
    );
    if !works {
        eprintln!("skipped: {what} does not work here");
    }
    works
}

/// What became of a command on a small disk: all of it, which the last line of stdout then names,
/// or nothing, and that is said. Its code.
pub(crate) fn whole_or_full(said: &Said, whole: &str, when: &str) -> Option<i32> {
    let left = said.stdout.lines().last().unwrap_or_default();
    match said.code {
        Some(0) => assert_eq!(left, whole, "{when}: {said:?}"),
        Some(8) => {
            assert_eq!(left, "", "{when}: {said:?}");
            let full = ["No space left", "disk is full"];
            let is_told = full.iter().any(|text| said.stderr.contains(text));
            assert!(is_told, "{when}: {said:?}");
        }
        _ => panic!("{when}: {said:?}"),
    }
    said.code
}

/// A shell script in a mount namespace of its own: what it mounts goes with it.
pub(crate) fn unshare(script: &str) -> Command {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    command
        .arg(if root { "-m" } else { "-rm" })
        .args(["sh", "-c", script, "sh"]);
    command
}

/// `command` under strace with these options; its records go to `log`.
pub(crate) fn under(options: &[&str], log: &Path, command: &Command) -> Command {
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-y", "-s", "0", "-o"])
        .arg(log)
        .args(options)
        .arg("--");
    traced.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced
}

/// Whether a command was killed, itself or within a shell.
pub(crate) fn was_killed(output: &Output) -> bool {
    output.status.signal() == Some(9) || output.status.code() == Some(137)
}

/// One system call of the main thread.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Everything after the name: arguments with the paths of descriptors, and the outcome.
    pub(crate) rest: String,
}

impl Call {
    /// Whether it was answered without an error.
    pub(crate) fn succeeded(&self) -> bool {
        self.rest
            .rsplit_once(" = ")
            .is_some_and(|(_, outcome)| !outcome.starts_with('-'))
    }

    /// The texts in quotes: the paths of calls that take paths.
    pub(crate) fn quoted(&self) -> Vec<PathBuf> {
        self.rest
            .split('"')
            .skip(1)
            .step_by(2)
            .map(PathBuf::from)
            .collect()
    }

    /// What the first descriptor is.
    pub(crate) fn descriptor(&self) -> Option<PathBuf> {
        let (_, rest) = self.rest.split_once('<')?;
        Some(PathBuf::from(rest.split_once('>')?.0))
    }
}

/// The calls of the main thread, in order.
pub(crate) fn calls(log: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(log).unwrap();
    // The main thread is reported to end when all others have.
    let last = text.lines().last().unwrap_or_default();
    let main = last.split(' ').next().unwrap_or_default().to_owned();
    let call = |line: &str| {
        let (pid, line) = line.split_once(' ')?;
        let (name, rest) = line.trim_start().split_once('(')?;
        let plain = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        (pid == main && plain).then(|| Call {
            name: name.to_owned(),
            rest: rest.to_owned(),
        })
    };
    text.lines().filter_map(call).collect()
}
