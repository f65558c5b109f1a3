//! Why there was no response at all, in words for a person.

use std::io;

use ureq::Timeout;

use super::Timeouts;

/// No response, or none that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub text: String,
    /// Whether the same request may succeed in a moment.
    pub retry: Retry,
}

/// Whether asking again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may pass.
    Sensible,
    /// It will be the same.
    Pointless,
    /// The fault is on this side: no other server would do better.
    Ours,
}

impl Failure {
    pub(super) fn pointless(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            retry: Retry::Pointless,
        }
    }

    pub(super) fn ours(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            retry: Retry::Ours,
        }
    }

    pub(super) fn of(error: ureq::Error, timeouts: &Timeouts) -> Self {
        let text = match error {
            ureq::Error::Timeout(which) => timed_out(which, timeouts),
            ureq::Error::HostNotFound => {
                return Self::pointless("the host name cannot be resolved");
            }
            ureq::Error::ConnectProxyFailed(why) => {
                return refused_by_proxy(&why);
            }
            ureq::Error::InvalidProxyUrl => {
                return Self::ours("the address of the proxy is malformed");
            }
            ureq::Error::Io(error) => return Self::of_io(&error, timeouts),
            error => {
                let text = error.to_string();
                return match certificate(&text) {
                    Some(why) => Self::pointless(why),
                    None => Self {
                        text,
                        retry: Retry::Sensible,
                    },
                };
            }
        };
        Self {
            text,
            retry: Retry::Sensible,
        }
    }

    /// The words for an error while the body is read.
    pub fn of_io(error: &io::Error, timeouts: &Timeouts) -> Self {
        if let Some(ureq::Error::Timeout(which)) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<ureq::Error>())
        {
            return Self {
                text: timed_out(*which, timeouts),
                retry: Retry::Sensible,
            };
        }
        let text = error.to_string();
        match certificate(&text) {
            Some(why) => Self::pointless(why),
            None => Self {
                text: match error.kind() {
                    io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                    io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
                    io::ErrorKind::UnexpectedEof => "the connection was closed early".to_owned(),
                    _ if text.contains("failed to lookup address") => {
                        return Self::pointless("the host name cannot be resolved");
                    }
                    _ => text,
                },
                retry: Retry::Sensible,
            },
        }
    }
}

/// ureq hands the proxy's status on only in its text: `proxy server responded 407/407`.
fn refused_by_proxy(why: &str) -> Failure {
    let status = why
        .strip_prefix("proxy server responded ")
        .and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    let (why, retry) = match status {
        Some(407) => (
            "HTTP 407, it wants a user and password (in its address: http://USER:PASSWORD@…)"
                .to_owned(),
            Retry::Pointless,
        ),
        // It did not reach the server, or is busy itself.
        Some(status @ (429 | 500..=599)) => (format!("HTTP {status}"), Retry::Sensible),
        Some(status) => (format!("HTTP {status}"), Retry::Pointless),
        None => (why.to_owned(), Retry::Sensible),
    };
    Failure {
        text: format!("the proxy refuses the connection: {why}"),
        retry,
    }
}

fn timed_out(which: Timeout, timeouts: &Timeouts) -> String {
    let (what, limit) = match which {
        Timeout::Resolve => ("the name lookup took longer than", timeouts.connect),
        Timeout::Connect => ("no connection within", timeouts.connect),
        Timeout::PerRead => ("nothing arrived for", timeouts.inactivity),
        Timeout::PerWrite | Timeout::SendRequest => {
            ("nothing could be sent for", timeouts.inactivity)
        }
        _ => ("no complete answer within", timeouts.first_byte),
    };
    format!("timed out: {what} {limit:?}")
}

/// rustls says why it does not like a certificate only in its text; ureq hands no more on.
fn certificate(text: &str) -> Option<String> {
    let (_, why) = text.split_once("invalid peer certificate: ")?;
    let advice = if why.starts_with("UnknownIssuer") || why.contains("UnknownIssuer") {
        "its issuer is not trusted (a private CA is named with --ca-cert)"
    } else if why.contains("BadSignature") {
        // A CA that was made anew under its old name, or somebody who only took the name.
        "it is not signed by the trusted issuer of that name (a private CA is named with --ca-cert)"
    } else if why.to_ascii_lowercase().starts_with("certificate expired") || why.contains("Expired")
    {
        "it has expired (is the clock of this machine right?)"
    } else if why.contains("not valid for name") || why.contains("NotValidForName") {
        "it belongs to another host"
    } else if why.contains("not valid yet") || why.contains("NotValidYet") {
        "it is not valid yet (is the clock of this machine right?)"
    } else if why.contains("CaUsedAsEndEntity") {
        "it is self-signed, or a CA's own (a private CA is named with --ca-cert)"
    } else {
        "it is refused"
    };
    Some(format!(
        "the server's TLS certificate is not acceptable: {advice}: {why}"
    ))
}
