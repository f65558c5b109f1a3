//! A server on loopback that plays a script of faults.
//!
//! What a request is answered with is a list of [`Step`]s: bytes, pauses, and ways to end. Nothing
//! sleeps to wait for something: the script decides, and the log of requests tells what happened.
//! Every server is bounded in time and in connections, and ends with its value.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One thing that the server does with a connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends bytes as they are: status line, headers, body.
    Send(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Says nothing more until the client gives up.
    Stall,
    /// Ends with a reset instead of an orderly close.
    Reset,
}

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// As on the request line: for a proxy, an absolute address.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Where a `Range: bytes=N-` starts.
    pub(crate) fn range_start(&self) -> Option<u64> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

type Handler = dyn Fn(&Seen, usize) -> Vec<Step> + Send + Sync;

/// A running server.
pub(crate) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Answers each request by the handler, which also hears how many requests came before.
    /// One request per connection.
    pub(crate) fn start(
        handler: impl Fn(&Seen, usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::bind("127.0.0.1:0", handler)
    }

    pub(crate) fn bind(
        address: &str,
        handler: impl Fn(&Seen, usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            connections: Arc::default(),
            stop: Arc::default(),
        };
        let (seen, connections, stop) = (
            server.seen.clone(),
            server.connections.clone(),
            server.stop.clone(),
        );
        let handler: Arc<Handler> = Arc::new(handler);
        std::thread::spawn(move || {
            let deadline = Instant::now() + LIFETIME;
            while !stop.load(Ordering::Relaxed)
                && Instant::now() < deadline
                && connections.load(Ordering::Relaxed) < MAX_CONNECTIONS
            {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                connections.fetch_add(1, Ordering::Relaxed);
                let (seen, stop, handler) = (seen.clone(), stop.clone(), handler.clone());
                std::thread::spawn(move || serve(&stream, &seen, &stop, &*handler));
            }
        });
        server
    }

    /// Serves one file well: whole, or from an offset on.
    pub(crate) fn with_file(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::start(move |seen, _| file(&body, seen))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT` and a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Every connection so far, also those that asked nothing.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Seen>>, stop: &AtomicBool, handler: &Handler) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(LIFETIME));
    let Some(request) = read_request(stream) else {
        return;
    };
    let nth = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    let mut writer = stream;
    for step in handler(&request, nth) {
        match step {
            Step::Send(bytes) => {
                if writer.write_all(&bytes).is_err() {
                    return;
                }
            }
            Step::Pause(pause) => std::thread::sleep(pause),
            Step::Stall => {
                let deadline = Instant::now() + LIFETIME;
                while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return;
            }
            Step::Reset => {
                // Unread input makes the kernel send a reset on close; SO_LINGER needs a crate.
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = lines.next()?.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Some(Seen {
        method,
        target,
        headers,
    })
}

/// A response head; the caller gives every header.
pub(crate) fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("Connection: close\r\n\r\n");
    text.into_bytes()
}

/// A whole response with its Content-Length.
pub(crate) fn reply(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Step> {
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    headers.push(("Content-Length", &length));
    vec![
        Step::Send(head(status, &headers)),
        Step::Send(body.to_vec()),
    ]
}

/// A file as a good server sends it, with a strong ETag and ranges.
pub(crate) fn file(body: &[u8], seen: &Seen) -> Vec<Step> {
    let etag = ("ETag", "\"one\"");
    match seen.range_start() {
        Some(start) if start >= body.len() as u64 => {
            let range = format!("bytes */{}", body.len());
            reply(
                "416 Range Not Satisfiable",
                &[("Content-Range", &range)],
                b"",
            )
        }
        Some(start) if seen.header("if-range").is_none_or(|value| value == etag.1) => {
            let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
            let start = usize::try_from(start).unwrap();
            reply(
                "206 Partial Content",
                &[etag, ("Content-Range", &range)],
                &body[start..],
            )
        }
        _ => reply("200 OK", &[etag], body),
    }
}

/// No server outlives its test by much, whatever happens.
const LIFETIME: Duration = Duration::from_secs(60);

const MAX_CONNECTIONS: usize = 500;
