//! The whole pipeline without a network: an upstream on loopback that misbehaves as real ones do,
//! a catalog that pins its file, and `ensure`.
//!
//! `cargo run --release --example quickstart`

#![allow(clippy::print_stdout, clippy::disallowed_macros)] // an example talks to a person

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use distro_fetch::base::HumanBytes;
use distro_fetch::cache::Cache;
use distro_fetch::catalog::Rules;
use distro_fetch::event::{Event, Observer, What};
use distro_fetch::fetch::{Fetcher, Options, Reach, Request};
use distro_fetch::{Arch, Catalog};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What upstream published: 32 MiB, and what anyone can know of them.
    let image: Vec<u8> = (0..32 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let sha256: String = Sha256::digest(&image)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let size = image.len();

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let upstream = format!("http://{}", listener.local_addr()?);
    let url = format!("{upstream}/images/demo/1.0/amd64/default/20260128_13:00/rootfs.tar.xz");

    // The catalog is data: which bytes a name stands for, and where they were seen.
    let catalog = Catalog::parse(
        &format!(
            r#"{{
              "schema": 1,
              "origins": {{ "demo": {{ "url": "{upstream}/", "retention": {{ "builds": 3 }},
                                       "mirrors": {{ "busy": "{upstream}/busy/" }} }} }},
              "images": {{ "demo-1.0": {{
                "distro": "demo", "version": "1.0", "kind": "rootfs", "arches": ["amd64"],
                "source": {{ "type": "fixed", "origin": "demo" }},
                "pins": {{ "amd64": {{ "snapshot": "20260128_13:00", "url": "{url}",
                                       "sha256": "{sha256}", "size": {size} }} }} }} }}
            }}"#
        ),
        Rules::Overlay,
    )?;
    let (demo, pin) = catalog.resolve(&"demo-1.0".parse()?, Arch::Amd64)?;
    let request = Request::pinned(&catalog, demo, pin)?;

    let folder =
        std::env::temp_dir().join(format!("distro-fetch-quickstart-{}", std::process::id()));
    let options = Options {
        // Asked first, and of no use: it answers 503.
        mirrors: vec!["busy".parse()?],
        retries: 1,
        backoff: Duration::from_millis(50),
        ..Options::default()
    };

    println!(
        "an upstream on {upstream}, a cache in {}\n",
        folder.display()
    );
    let fetched = std::thread::scope(|scope| {
        scope.spawn(|| serve(&listener, &image));
        let fetcher = Fetcher::new(Cache::at(&folder)?, options);
        fetcher.ensure(&request, &Printer::default())
    })?;
    println!("\n{}", fetched.entry.path().display());
    assert!(!fetched.cached && std::fs::read(fetched.entry.path())? == image);
    drop(fetched);

    // The server is gone. The same request, and not one socket.
    let options = Options {
        reach: Reach::CacheOnly,
        ..Options::default()
    };
    let again = Fetcher::new(Cache::at(&folder)?, options).ensure(&request, &Printer::default())?;
    println!(
        "{} (cached: {})",
        again.entry.path().display(),
        again.cached
    );

    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// An upstream that is busy at one address, and that hangs up in the middle at the other: the
/// download goes on where it stopped. It ends when the file has been delivered.
fn serve(listener: &TcpListener, image: &[u8]) {
    let mut hung_up = false;
    for _ in 0..10 {
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        let Some((path, start)) = read_request(&stream) else {
            continue;
        };
        let mut stream = &stream;
        if path.starts_with("/busy/") {
            let _ = stream.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
            );
            continue;
        }
        let status = if start > 0 {
            "206 Partial Content"
        } else {
            "200 OK"
        };
        let (last, size) = (image.len() - 1, image.len());
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{last}/{size}\r\n\
             ETag: \"quickstart\"\r\nConnection: close\r\n\r\n",
            size - start
        );
        let end = if hung_up { size } else { size / 3 };
        let delivered = stream.write_all(&image[start..end]).is_ok();
        if delivered && hung_up {
            return;
        }
        hung_up = true;
    }
}

fn read_request(stream: &TcpStream) -> Option<(String, usize)> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut start = 0;
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().ok()?;
        }
    }
    Some((path, start))
}

/// Prints what happens, and progress in quarters.
#[derive(Default)]
struct Printer {
    quarter: Mutex<u64>,
}

impl Observer for Printer {
    fn on(&self, event: Event<'_>) -> ControlFlow<()> {
        match event.what {
            What::Source {
                url, resumed: 0, ..
            } => println!("asking {url}"),
            What::Source { url, resumed, .. } => {
                println!("asking {url} for what comes after {}", HumanBytes(resumed));
            }
            What::Retry { verdict, pause, .. } => println!("  {verdict}; again in {pause:.0?}"),
            What::Failed { verdict, .. } => println!("  {verdict}; next source"),
            What::Progress {
                received,
                total: Some(total),
            } => {
                let now = received * 4 / total.max(1);
                if let Ok(mut quarter) = self.quarter.lock()
                    && now > *quarter
                {
                    *quarter = now;
                    println!("  {} of {}", HumanBytes(received), HumanBytes(total));
                }
            }
            What::Done {
                cached: false,
                size,
            } => println!("verified {}", HumanBytes(size)),
            What::Done { cached: true, .. } => println!("cached"),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
