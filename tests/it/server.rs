//! A server on loopback that plays a script of faults.
//!
//! What a request is answered with is a list of [`Step`]s: bytes, pauses, and ways to end. Nothing
//! sleeps to wait for something: the script decides, and the log of requests tells what happened.
//! Every server is bounded in time and in connections, and ends with its value.

use std::io::{BufRead, BufReader, Read, Write};
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
    #[allow(dead_code)] // not every set of tests needs it
    Pause(Duration),
    /// Says nothing more until the client gives up.
    Stall,
    /// Sends the same bytes again and again, with a pause after each, until the client gives up.
    Repeat(Vec<u8>, Duration),
    /// Ends with a reset instead of an orderly close.
    Reset,
    /// Passes everything on to a port of this machine: what a proxy does after CONNECT.
    Tunnel(u16),
}

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// As on the request line: for a proxy, an absolute address.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// What was sent with it.
    #[allow(dead_code)] // not every set of tests needs it
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Where a `Range: bytes=N-` or `N-M` starts.
    pub(crate) fn range_start(&self) -> Option<u64> {
        self.range()?.0.parse().ok()
    }

    /// Where a `Range: bytes=N-M` ends.
    fn range_end(&self) -> Option<usize> {
        self.range()?.1.parse().ok()
    }

    fn range(&self) -> Option<(&str, &str)> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split_once('-')
    }
}

type Handler = dyn Fn(&Seen, usize) -> Vec<Step> + Send + Sync;

/// A running server.
pub(crate) struct Server {
    scheme: &'static str,
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
        Self::open(address, None, Arc::new(handler))
    }

    /// Like [`start`](Self::start), behind TLS.
    pub(crate) fn with_tls(
        config: rustls::ServerConfig,
        handler: impl Fn(&Seen, usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::open("127.0.0.1:0", Some(Arc::new(config)), Arc::new(handler))
    }

    fn open(address: &str, tls: Option<Arc<rustls::ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self {
            scheme: if tls.is_some() { "https" } else { "http" },
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
                let tls = tls.clone();
                std::thread::spawn(move || {
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_read_timeout(Some(LIFETIME));
                    let Some(tls) = tls else {
                        return serve(&stream, &mut &stream, &seen, &stop, &*handler);
                    };
                    let mut session = rustls::ServerConnection::new(tls).unwrap();
                    let mut tcp = &stream;
                    let mut wire = rustls::Stream::new(&mut session, &mut tcp);
                    serve(&stream, &mut wire, &seen, &stop, &*handler);
                });
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
        self.url_at("127.0.0.1", path)
    }

    /// The same under another name, or with user information before it.
    pub(crate) fn url_at(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.port)
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

fn serve(
    stream: &TcpStream,
    wire: &mut (impl Read + Write),
    seen: &Mutex<Vec<Seen>>,
    stop: &AtomicBool,
    handler: &Handler,
) {
    let Some(request) = read_request(&mut *wire) else {
        return;
    };
    let nth = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    for step in handler(&request, nth) {
        match step {
            Step::Send(bytes) => {
                if wire.write_all(&bytes).and_then(|()| wire.flush()).is_err() {
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
            Step::Repeat(bytes, pause) => {
                let deadline = Instant::now() + LIFETIME;
                while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
                    if wire.write_all(&bytes).and_then(|()| wire.flush()).is_err() {
                        return;
                    }
                    std::thread::sleep(pause);
                }
                return;
            }
            Step::Tunnel(port) => return tunnel(stream, port),
            Step::Reset => {
                // Unread input makes the kernel send a reset on close; SO_LINGER needs a crate.
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

fn tunnel(client: &TcpStream, port: u16) {
    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut &*client, &mut &server);
            let _ = server.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut &server, &mut &*client);
        // The client may keep its side open for another request: the other direction ends, too.
        let _ = client.shutdown(Shutdown::Both);
    });
}

fn read_request(stream: impl Read) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines();
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
    let mut seen = Seen {
        method,
        target,
        headers,
        body: String::new(),
    };
    let length = seen.header("content-length").and_then(|it| it.parse().ok());
    if let Some(length) = length {
        reader.take(length).read_to_string(&mut seen.body).ok()?;
    }
    Some(seen)
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
            let last = body.len() - 1;
            let last = seen.range_end().map_or(last, |end| end.min(last));
            let range = format!("bytes {start}-{last}/{}", body.len());
            let start = usize::try_from(start).unwrap();
            reply(
                "206 Partial Content",
                &[etag, ("Content-Range", &range)],
                &body[start..=last],
            )
        }
        _ => reply("200 OK", &[etag], body),
    }
}

/// No server outlives its test by much, whatever happens.
const LIFETIME: Duration = Duration::from_secs(60);

const MAX_CONNECTIONS: usize = 500;
