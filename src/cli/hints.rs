//! What goes wrong, as exit codes and next steps: the one file of both.

use std::fmt;
use std::process::ExitCode;

use distro_fetch::{Error, Kind};
use serde_json::json;

use super::output::{self, Color};
use super::signals;

/// Exit code of wrong usage.
pub(crate) const USAGE: u8 = 2;

/// Options that do not go together, or say nothing that could be done.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Tells the user, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error, json: bool, color: Color) -> ExitCode {
    if error.downcast_ref::<output::Closed>().is_some() {
        // Whoever read our output has seen enough (`… | head`).
        return ExitCode::SUCCESS;
    }
    let code = code(error);
    if json {
        // If stdout is gone, too, the exit code still tells.
        let _ = output::json(&document(error));
    }
    tell(std::slice::from_ref(error), color);
    ExitCode::from(code)
}

/// Says what went wrong, and at the end what to do next, each thing once.
pub(crate) fn tell(errors: &[anyhow::Error], color: Color) {
    let mut text = Vec::new();
    let mut next = Vec::new();
    for error in errors {
        text.push(format!("{}{:#}", color.red("error: "), Escaped(error)));
        for hint in hints(error) {
            let hint = format!("{}{hint}", color.cyan("hint: "));
            if !next.contains(&hint) {
                next.push(hint);
            }
        }
    }
    text.append(&mut next);
    output::note(&text.join("\n"));
}

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Usage>().is_some() {
        return USAGE;
    }
    match error.downcast_ref::<Error>() {
        Some(error) if error.kind() == Kind::Cancelled => signals::exit_code(),
        Some(error) => error.kind().exit_code(),
        None => Kind::Other.exit_code(),
    }
}

fn document(error: &anyhow::Error) -> serde_json::Value {
    if let Some(error) = error.downcast_ref::<Error>() {
        return json!({ "error": body(error) });
    }
    let usage = error.downcast_ref::<Usage>().is_some();
    let kind = if usage { "usage" } else { Kind::Other.as_str() };
    json!({ "error": { "kind": kind, "message": format!("{error:#}"), "attempts": [] } })
}

/// An error as it stands in a document.
pub(crate) fn body(error: &Error) -> serde_json::Value {
    let attempts: Vec<_> = error
        .attempts()
        .iter()
        .map(|attempt| json!({ "url": attempt.url, "verdict": attempt.verdict }))
        .collect();
    let mut body = json!({
        "kind": error.kind().as_str(),
        "message": error.message(),
        "attempts": attempts,
    });
    if !error.suggestions().is_empty() {
        body["suggestions"] = json!(error.suggestions());
    }
    if let Some(digests) = error.digests() {
        body["expected"] = json!(digests.expected);
        body["actual"] = json!(digests.actual);
    }
    if let Some(path) = error.path() {
        body["path"] = json!(path.to_string_lossy());
    }
    body
}

/// What to do next: one command, where there is one.
fn hints(error: &anyhow::Error) -> Vec<String> {
    let Some(error) = error.downcast_ref::<Error>() else {
        return Vec::new();
    };
    let mut hints = Vec::new();
    match error.kind() {
        Kind::Unknown if error.message().contains("there is no image for") => {
            if let Some(first) = error.suggestions().first() {
                hints.push(format!("--platform {first} takes another one"));
            }
        }
        Kind::Unknown => {
            if let [first, rest @ ..] = error.suggestions() {
                let more = rest
                    .iter()
                    .map(|name| format!(", {name}"))
                    .collect::<String>();
                hints.push(format!("did you mean {first}{more}?"));
            } else {
                hints.push("`distro-fetch list` shows every image".to_owned());
            }
        }
        Kind::Offline => hints.push("run the command once without --offline".to_owned()),
        // What to do is what the message says.
        Kind::Network if error.message().contains("wants to know who asks") => {}
        Kind::Network => hints.push(
            "run the command again; what has arrived is kept. Another server: --mirror URL"
                .to_owned(),
        ),
        Kind::Gone => hints.push(
            "upstream has deleted this snapshot: --mirror URL names a server that still has it, \
             or update the catalog"
                .to_owned(),
        ),
        // A file of this machine: what to do is what the message says.
        Kind::Integrity if error.path().is_some() => {}
        Kind::Integrity => hints.push(
            "nothing was kept. If a proxy or mirror may be at fault, try another with --mirror URL"
                .to_owned(),
        ),
        Kind::Local => match error.io_kind() {
            Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) => {
                hints.push(FULL.to_owned());
            }
            _ if error.message().contains("the disk is full") => hints.push(FULL.to_owned()),
            _ => {}
        },
        // It keeps nothing that could be gone on with.
        Kind::Cancelled
            if [
                "an audit",
                "while unpacking",
                "while converting",
                "while decoding",
            ]
            .iter()
            .any(|what| error.message().contains(what)) => {}
        Kind::Cancelled => hints.push("the same command goes on where this one stopped".to_owned()),
        _ => {}
    }
    hints
}

const FULL: &str =
    "`distro-fetch cache prune` makes room; --cache-dir DIR puts the cache elsewhere";

/// Names come from servers and files: what a terminal would obey is shown, not sent.
struct Escaped<'a>(&'a anyhow::Error);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&output::harmless(&format!("{:#}", self.0)))
    }
}
