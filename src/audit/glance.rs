//! A look at a file that costs one small request.

use std::io::Read;

use super::life::{Failed, Look};
use super::magic::{self, Magic};
use crate::base::Url;
use crate::cache::Key;
use crate::fetch::{Verdict, bytes, is_page};
use crate::net::{Client, Failure, Range, Response};

/// Asks for the first bytes, and judges by status, size and what these are.
pub(super) fn look(client: &Client, key: &Key, url: &Url) -> Result<Look, Failed> {
    let range = Range {
        start: 0,
        end: Some(FIRST - 1),
        if_range: None,
    };
    let mut response = client.get(url, Some(&range)).map_err(Verdict::from)?;
    if response.status == 416 {
        // There is no such part of an empty file, and some servers know no parts at all.
        response = client.get(url, None).map_err(Verdict::from)?;
    }
    Verdict::check_status(&response)?;
    let size = size(&response)?;
    let told = |verdict| Failed { verdict, size };
    let is_html = is_page(response.content_type.as_deref());
    if is_html {
        return Err(told(Verdict::Page("it is HTML".to_owned())));
    }
    let first = read_first(client, response, size).map_err(told)?;
    let drifted = |why: String| Err(told(Verdict::Wrong { why, actual: None }));
    let magic = magic::judge(&key.file, &first);
    if magic == Magic::Page {
        return Err(told(Verdict::Page("it starts as one".to_owned())));
    }
    if let (Some(pinned), Some(size)) = (key.size, size)
        && pinned != size
    {
        return drifted(format!(
            "{} where {} are pinned",
            bytes(size),
            bytes(pinned)
        ));
    }
    if first.is_empty() {
        return drifted("an empty file".to_owned());
    }
    if let Magic::Wrong(format) = magic {
        return drifted(format!("it does not start as {format} does"));
    }
    let agrees = match (key.size.and(size), magic) {
        (Some(_), Magic::Right) => "size, first bytes",
        (Some(_), _) => "size",
        (None, Magic::Right) => "first bytes",
        (None, _) => "it is there",
    };
    Ok(Look {
        agrees: agrees.to_owned(),
        size,
    })
}

/// How many bytes the whole file has, if the server says.
fn size(response: &Response) -> Result<Option<u64>, Verdict> {
    if response.status == 200 {
        return Ok(response.length);
    }
    match response.range {
        Some(range) if range.first == 0 => Ok(range.total),
        _ => Err(Verdict::Broken {
            why: "HTTP 206 that cannot be true: it is not the beginning".to_owned(),
            retry: false,
        }),
    }
}

/// Reads as many bytes as were asked for, and lets go of a server that sends them all.
fn read_first(client: &Client, response: Response, size: Option<u64>) -> Result<Vec<u8>, Verdict> {
    let expected = size.map(|size| size.min(FIRST));
    let mut first = Vec::new();
    let outcome = response.body.take(FIRST).read_to_end(&mut first);
    outcome.map_err(|error| Failure::of_io(&error, &client.config().timeouts))?;
    let got = first.len() as u64;
    match expected {
        Some(expected) if got < expected => Err(Verdict::Broken {
            why: format!("it ended after {}", bytes(got)),
            retry: true,
        }),
        _ => Ok(first),
    }
}

/// Enough for every format's first words, and for a page to show that it is one.
const FIRST: u64 = 512;
