//! What a server said, as data.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use crate::base::{Timestamp, Url, parse_http_date};

/// A response whose body has not been read yet.
pub struct Response {
    /// HTTP status; files answer 200, 206 and 404 as well.
    pub status: u16,
    /// Where it came from in the end, after redirects.
    pub url: Url,
    /// `Content-Length`: bytes of this body.
    pub length: Option<u64>,
    /// `Content-Range` of a partial response.
    pub range: Option<ContentRange>,
    /// What to send as `If-Range` when this download is resumed: a strong `ETag`, or else
    /// `Last-Modified`.
    pub validator: Option<String>,
    /// `Content-Type`, without parameters, lower case.
    pub content_type: Option<String>,
    /// `Content-Encoding`, if it is one: bytes are never decoded on the way.
    pub encoding: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<RetryAfter>,
    /// Every `WWW-Authenticate`: how a server wants to be asked.
    pub challenges: Vec<String>,
    /// `Docker-Content-Digest`: what a registry says that the body hashes to.
    pub content_digest: Option<String>,
    /// The bytes.
    pub body: Box<dyn Read + Send>,
}

impl Response {
    /// The whole body, if it is as long as was announced and at most `limit` bytes.
    ///
    /// # Errors
    /// Why there is no whole body.
    pub fn read_all(self, limit: u64) -> Result<Vec<u8>, Unread> {
        if self.length.is_some_and(|length| length > limit) {
            return Err(Unread::TooLong);
        }
        let mut bytes = Vec::new();
        // As large as it has to be and not doubled: a document may be large.
        bytes.reserve_exact(self.length.and_then(|n| n.try_into().ok()).unwrap_or(0));
        let mut body = self.body.take(limit.saturating_add(1));
        body.read_to_end(&mut bytes).map_err(Unread::Io)?;
        let got = bytes.len() as u64;
        match self.length {
            _ if got > limit => Err(Unread::TooLong),
            Some(length) if length != got => Err(Unread::Short { got, length }),
            _ => Ok(bytes),
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response {{ {} {} }}", self.status, self.url)
    }
}

/// Why there is no whole body. The words are the caller's, who knows what it was to be.
#[derive(Debug)]
pub enum Unread {
    /// It is longer than the limit.
    TooLong,
    /// It ended elsewhere than announced.
    Short {
        /// Bytes that came.
        got: u64,
        /// Bytes that were announced.
        length: u64,
    },
    /// The connection broke.
    Io(io::Error),
}

/// `Content-Range: bytes FIRST-LAST/TOTAL` (RFC 9110, section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the first byte of this body.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
    /// Size of the whole file, if the server knows.
    pub total: Option<u64>,
}

impl ContentRange {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix("bytes ")?;
        let (range, total) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        let sound = first <= last && total.is_none_or(|total: u64| last < total);
        sound.then_some(Self { first, last, total })
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// In so many seconds.
    Seconds(u64),
    /// At this moment.
    At(Timestamp),
}

impl RetryAfter {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            // More digits than fit mean "very long", not "at once".
            return Some(Self::Seconds(text.parse().unwrap_or(u64::MAX)));
        }
        parse_http_date(text).map(|seconds| Self::At(Timestamp(seconds)))
    }

    /// How long to wait from `now` on, at most `cap`.
    pub fn pause(self, now: Timestamp, cap: Duration) -> Duration {
        let seconds = match self {
            Self::Seconds(seconds) => seconds,
            Self::At(then) => u64::try_from(then.0.saturating_sub(now.0)).unwrap_or(0),
        };
        Duration::from_secs(seconds).min(cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(length: Option<u64>, body: &'static [u8]) -> Response {
        Response {
            status: 200,
            url: "http://127.0.0.1/".parse().unwrap(),
            length,
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

    #[test]
    fn a_whole_body_or_none() {
        for (length, limit, expect) in [
            (None, 3, Ok(())),
            (Some(3), 3, Ok(())),
            (Some(3), u64::MAX, Ok(())),
            (None, 2, Err("TooLong")),
            (Some(3), 2, Err("TooLong")),
            (Some(2), 2, Err("TooLong")),
            (Some(4), 3, Err("TooLong")),
            (Some(4), 9, Err("Short { got: 3, length: 4 }")),
            (Some(2), 9, Err("Short { got: 3, length: 2 }")),
        ] {
            let read = response(length, b"abc").read_all(limit);
            let read = read.map_err(|unread| format!("{unread:?}"));
            let expect = expect.map(|()| b"abc".to_vec()).map_err(str::to_owned);
            assert_eq!(read, expect, "{length:?} {limit}");
        }
    }

    #[test]
    fn content_ranges() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (text, expect) in [
            ("bytes 5-9/10", range(5, 9, Some(10))),
            ("bytes 5-9/*", range(5, 9, None)),
            ("bytes 9-5/10", None),
            ("bytes 5-10/10", None),
            ("bytes */10", None),
            ("5-9/10", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expect, "{text}");
        }
    }

    #[test]
    fn retry_after_is_capped_and_garbage_is_ignored() {
        let (now, cap) = (Timestamp(784_111_777), Duration::from_secs(60));
        for (text, expect) in [
            ("2", Some(2)),
            ("999999", Some(60)),
            ("99999999999999999999999", Some(60)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let pause = RetryAfter::parse(text).map(|after| after.pause(now, cap).as_secs());
            assert_eq!(pause, expect, "{text}");
        }
    }
}
