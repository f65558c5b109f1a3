//! Programs that know passwords: `docker-credential-NAME get`.
//!
//! The protocol is that of docker-credential-helpers: the registry's name on stdin, a JSON object on
//! stdout. A helper is run by its name from one of the directories that we were given, without a
//! shell, and for a limited time.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::credentials::{Login, checked};
use crate::error::{Error, Kind, Result};

/// Where helpers are, and how long one may take.
#[derive(Debug)]
pub(super) struct Helpers {
    folders: Vec<PathBuf>,
    limit: Duration,
}

impl Default for Helpers {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Helpers {
    /// Only absolute directories: a relative one is whatever the current directory has in it.
    pub(super) fn new(mut folders: Vec<PathBuf>) -> Self {
        folders.retain(|folder| folder.is_absolute());
        Self {
            folders,
            limit: LIMIT,
        }
    }

    /// What a helper knows of a registry; `None` if it knows nothing.
    pub(super) fn ask(&self, name: &str, server: &str) -> Result<Option<Login>> {
        let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(sound) {
            let shown: String = name.chars().take(MAX_NAME).collect();
            let message = format!("a credential helper of the name {shown:?} is not run");
            return Err(Error::new(Kind::Local, message));
        }
        let program = format!("docker-credential-{name}");
        let refuse = |why: &str| Error::new(Kind::Local, format!("{program}: {why}"));
        let path = self
            .folders
            .iter()
            .map(|folder| folder.join(&program))
            .find(|path| path.is_file())
            .ok_or_else(|| refuse("there is no such program in the PATH"))?;
        let mut child = Command::new(&path)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::local("cannot run", &path, error))?;
        let answer = self.converse(&mut child, server);
        let Some((success, answer)) = answer else {
            let _ = child.kill();
            let _ = child.wait();
            let seconds = self.limit.as_secs();
            return Err(refuse(&format!("no answer within {seconds} seconds")));
        };
        if !success {
            // Every helper says so, in these words, on stdout.
            let nothing = String::from_utf8_lossy(&answer).contains("credentials not found");
            return if nothing {
                Ok(None)
            } else {
                Err(refuse("it failed"))
            };
        }
        let document: Value =
            serde_json::from_slice(&answer).map_err(|_| refuse("its answer is not JSON"))?;
        let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
        let (Some(user), Some(secret)) = (text("Username"), text("Secret")) else {
            return Err(refuse("its answer has no user and no secret"));
        };
        if secret.is_empty() {
            return Ok(None);
        }
        checked(if user == IDENTITY {
            Login::Identity(secret)
        } else {
            let password = secret;
            Login::Password { user, password }
        })
        .map(Some)
        .map_err(|error| error.about(&program))
    }

    /// Whether it succeeded, and what it said; `None` if that took too long.
    fn converse(&self, child: &mut Child, server: &str) -> Option<(bool, Vec<u8>)> {
        let start = Instant::now();
        let mut stdin = child.stdin.take()?;
        let stdout = child.stdout.take()?;
        let server = server.to_owned();
        let (done, said) = mpsc::channel();
        // A child of the helper may keep the pipe open for ever: nobody waits for these threads.
        std::thread::spawn(move || {
            let _ = stdin.write_all(server.as_bytes());
        });
        std::thread::spawn(move || {
            let mut answer = Vec::new();
            let _ = stdout.take(MAX_ANSWER).read_to_end(&mut answer);
            let _ = done.send(answer);
        });
        let answer = said.recv_timeout(self.limit).ok()?;
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Some((status.success(), answer));
            }
            if start.elapsed() > self.limit {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }
}

/// The user of whom the secret is an identity token.
const IDENTITY: &str = "<token>";

/// Long enough for somebody to touch a security key.
const LIMIT: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(5);

const MAX_NAME: usize = 64;

/// Tokens are a few KiB; who sends more means to fill memory.
const MAX_ANSWER: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn helpers_answer_fail_or_hang() {
        let folder =
            std::env::temp_dir().join(format!("df-helper-{}", crate::sys::unique_suffix()));
        std::fs::create_dir(&folder).unwrap();
        let known = r#"read host; [ "$1 $host" = "get h" ] &&
            echo "{\"ServerURL\":\"$host\",\"Username\":\"me\",\"Secret\":\"s\"}""#;
        for (name, script) in [
            ("known", known),
            ("token", r#"echo '{"Username":"<token>","Secret":"t"}'"#),
            (
                "nothing",
                "echo credentials not found in native keychain; exit 1",
            ),
            ("fails", "echo secret; exit 1"),
            ("garbage", "echo secret"),
            ("hangs", "sleep 60"),
            ("endless", "cat /dev/zero"),
        ] {
            let path = folder.join(format!("docker-credential-{name}"));
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let helpers = Helpers {
            folders: vec![folder.clone()],
            limit: Duration::from_secs(2),
        };
        let me = Login::Password {
            user: "me".into(),
            password: "s".into(),
        };
        for (name, expect) in [
            ("known", Ok(Some(me))),
            ("token", Ok(Some(Login::Identity("t".into())))),
            ("nothing", Ok(None)),
            ("fails", Err("it failed")),
            ("garbage", Err("not JSON")),
            ("hangs", Err("no answer within")),
            ("endless", Err("")),
            ("absent", Err("no such program")),
            ("../../evil", Err("is not run")),
            ("a b", Err("is not run")),
            ("", Err("is not run")),
        ] {
            match (helpers.ask(name, "h"), expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{name}"),
                (Err(error), Err(words)) => {
                    let text = error.to_string();
                    assert!(text.contains(words) && !text.contains("secret"), "{text}");
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            Helpers::new(vec!["bin".into()]).folders,
            Vec::<PathBuf>::new()
        );
    }
}
