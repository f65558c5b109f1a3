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
        Ok((file, size, first)) => Ok(Response {
            status: if first > 0 { 206 } else { 200 },
            url: url.clone(),
            length: Some(size - first),
            range: (first > 0).then(|| ContentRange {
                first,
                last: size - 1,
                total: Some(size),
            }),
            validator: None,
            content_type: None,
            encoding: None,
            retry_after: None,
            body: Box::new(file),
        }),
        Err(error) => {
            let status = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => 404,
                io::ErrorKind::PermissionDenied => 403,
                _ => return Err(Failure::pointless(error.to_string())),
            };
            Ok(Response {
                status,
                url: url.clone(),
                length: None,
                range: None,
                validator: None,
                content_type: None,
                encoding: None,
                retry_after: None,
                body: Box::new(io::empty()),
            })
        }
    }
}

fn try_open(
    path: &Path,
    range: Option<&Range>,
) -> io::Result<(impl Read + Send + use<>, u64, u64)> {
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let first = range.map_or(0, |range| range.start);
    let first = if first < size { first } else { 0 };
    file.seek(SeekFrom::Start(first))?;
    Ok((file, size, first))
}
