//! `file://`, answered as a server would.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::client::Range;
use super::{ContentRange, Failure, Response};
use crate::base::{Url, decode_percent};

/// Opens a local file as a response.
pub(super) fn open(url: &Url, range: Option<&Range>) -> Result<Response, Failure> {
    let path = decode_percent(url.path());
    if path.contains(&0) {
        return Err(Failure::pointless("a path with a NUL in it"));
    }
    let path = Path::new(OsStr::from_bytes(&path));
    match try_open(path, range) {
        Ok((file, size, part)) => Ok(Response {
            length: Some(part.map_or(size, |part| part.last - part.first + 1)),
            range: part,
            ..answer(if part.is_some() { 206 } else { 200 }, url, file)
        }),
        Err(error) => {
            let status = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => 404,
                io::ErrorKind::PermissionDenied => 403,
                _ => return Err(Failure::pointless(error.to_string())),
            };
            Ok(answer(status, url, io::empty()))
        }
    }
}

fn answer(status: u16, url: &Url, body: impl Read + Send + 'static) -> Response {
    Response {
        status,
        url: url.clone(),
        length: None,
        range: None,
        validator: None,
        content_type: None,
        encoding: None,
        retry_after: None,
        challenges: Vec::new(),
        content_digest: None,
        body: Box::new(body),
    }
}

/// The file, its size, and which part of it follows if not all of it does.
fn try_open(
    path: &Path,
    range: Option<&Range>,
) -> io::Result<(impl Read + Send + use<>, u64, Option<ContentRange>)> {
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let part = range.and_then(|range| {
        let last = size.checked_sub(1)?;
        let last = range.end.map_or(last, |end| end.min(last));
        (range.start <= last).then_some(ContentRange {
            first: range.start,
            last,
            total: Some(size),
        })
    });
    file.seek(SeekFrom::Start(part.map_or(0, |part| part.first)))?;
    let length = part.map_or(u64::MAX, |part| part.last - part.first + 1);
    Ok((file.take(length), size, part))
}
