//! Waiting for somebody else's download (HOSTILE 76).

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Lab, distro_fetch, noise, sha256};
use crate::server::{Server, Step, file, head};

/// A program in the background; it ends with its value.
struct Running {
    child: Child,
    stderr: PathBuf,
}

impl Running {
    fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again; how long it took.
fn until(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{what} does not happen"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[test]
fn a_waiter_says_for_whom_and_goes_on_when_the_holder_dies() {
    let (lab, bytes) = (Lab::new(), noise(100_000));
    let body = bytes.clone();
    // The first two get a beginning and then silence, the third the rest.
    let server = Server::start(move |seen, nth| {
        if nth >= 2 {
            return file(&body, seen);
        }
        let length = body.len().to_string();
        let headers = [("Content-Length", &*length), ("ETag", "\"one\"")];
        let whole = head("200 OK", &headers);
        vec![
            Step::Send(whole),
            Step::Send(body[..40_000].to_vec()),
            Step::Stall,
        ]
    });
    let catalog = lab.catalog(&[("alpine-3.21", &server.url("/rootfs.tar.xz"), &bytes)]);
    let start = |name: &str| {
        let stderr = lab.path(name);
        let child = distro_fetch()
            .arg("--cache-dir")
            .arg(lab.cache())
            .arg("--catalog")
            .arg(&catalog)
            .args(["--arch", "amd64", "--retries", "0", "--progress", "plain"])
            .args(["ensure", "alpine-3.21"])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Running { child, stderr }
    };
    let lock = lab
        .cache()
        .join(format!("v1/locks/{}.lock", sha256(&bytes)));
    let waits_for = |waiter: &Running, holder: &Running| {
        let line = format!("waiting for process {}, ", holder.child.id());
        until(&line, || waiter.said().contains(&line));
        let text = waiter.said();
        assert!(text.contains(&*lock.to_string_lossy()), "{text}");
        assert_eq!(text.matches("waiting").count(), 1, "said once: {text}");
    };

    let first = start("first");
    until("the first request", || server.seen().len() == 1);
    let second = start("second");
    let began = Instant::now();
    waits_for(&second, &first);
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "not worth a line before"
    );
    assert_eq!(server.seen().len(), 1);

    // A waiter can be told to stop, and the holder does not notice.
    let mut stopped = start("stopped");
    waits_for(&stopped, &first);
    stopped.signal("INT");
    let mut status = None;
    until("the end of the waiter", || {
        status = stopped.child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(130), "{}", stopped.said());

    first.signal("KILL");
    let took = until("the second request", || server.seen().len() == 2);
    assert!(took < Duration::from_secs(1), "{took:?}");

    // Who waited first is now the one who is waited for.
    let mut third = start("third");
    waits_for(&third, &second);
    second.signal("KILL");
    let took = until("the third request", || server.seen().len() == 3);
    assert!(took < Duration::from_secs(1), "{took:?}");
    let mut status = None;
    until("the end of the third", || {
        status = third.child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0), "{}", third.said());
    let start = server.seen()[2].range_start();
    assert!(
        start.is_some_and(|start| start > 0),
        "what had arrived is not asked for again"
    );
    assert_eq!(lab.cached_files().len(), 2, "{:?}", lab.cached_files());
}
