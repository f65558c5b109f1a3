//! A file read whole, and kept nowhere.

use super::life::{Failed, Look};
use crate::base::{Scheme, Url};
use crate::cache::Key;
use crate::error::Result;
use crate::fetch::{Verdict, bytes, is_page};
use crate::io::{Expect, Fault, VerifyingReader};
use crate::net::{Client, Failure};

/// Reads and hashes everything; the hash decides. The outer error is a cancellation.
pub(super) fn read(
    client: &Client,
    key: &Key,
    url: &Url,
    limit: u64,
    progress: impl Fn(u64) -> Result<()>,
) -> Result<Result<Look, Failed>> {
    let response = match client.get(url, None) {
        Ok(response) => response,
        Err(failure) => return Ok(Err(Verdict::from(failure).into())),
    };
    if let Err(verdict) = Verdict::check_status(&response) {
        return Ok(Err(verdict.into()));
    }
    let size = response.length;
    let failed = |verdict| Ok(Err(Failed { verdict, size }));
    if response.status != 200 {
        return failed(Verdict::Refused(response.status));
    }
    if is_page(response.content_type.as_deref()) {
        return failed(Verdict::Page("it is HTML".to_owned()));
    }
    if let (Some(pinned), Some(size)) = (key.size, size)
        && pinned != size
    {
        let why = format!("{} where {} are pinned", bytes(size), bytes(pinned));
        return failed(Verdict::Wrong { why, actual: None });
    }
    let expect = Expect {
        digest: key.sha256,
        size: key.size,
        limit,
    };
    let mut reader = VerifyingReader::new(response.body, expect);
    loop {
        match reader.next_block() {
            Ok([]) => break,
            Ok(_) => {}
            Err(fault) => return failed(judge(client, key, url, fault)),
        }
        progress(reader.seen())?;
    }
    let seen = reader.seen();
    match reader.finish() {
        Some(_) => Ok(Ok(Look {
            agrees: "SHA-256".to_owned(),
            size: Some(seen),
        })),
        None => failed(Verdict::Page("no verdict at the end".to_owned())),
    }
}

fn judge(client: &Client, key: &Key, url: &Url, fault: Fault) -> Verdict {
    let wrong = |why: String, actual| Verdict::Wrong { why, actual };
    match fault {
        Fault::Io(error) => Failure::of_io(&error, &client.config().timeouts).into(),
        Fault::Short { got, expected } if url.scheme() == Scheme::File => {
            let why = format!("{} where {} are pinned", bytes(got), bytes(expected));
            wrong(why, None)
        }
        Fault::Short { got, expected } => Verdict::Broken {
            why: format!("it ended after {} of {}", bytes(got), bytes(expected)),
            retry: true,
        },
        Fault::Long { allowed } => wrong(format!("more than {}", bytes(allowed)), None),
        Fault::Mismatch { actual, size } => {
            let why = format!(
                "{} with SHA-256 {actual} where {} is pinned",
                bytes(size),
                key.sha256
            );
            wrong(why, Some(actual))
        }
    }
}
