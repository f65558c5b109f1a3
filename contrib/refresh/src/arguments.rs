//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;
use distro_fetch::Url;
use refresh::run::DEFAULT_INTERVAL;

/// Follows every upstream of catalog.json and moves the pins to its newest snapshots.
///
/// Everything is resolved before anything is written; if anything fails, nothing is. Without
/// `--only`, all images are refreshed.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools)] // flags are what a command line has
#[command(
    name = "refresh",
    bin_name = "cargo refresh",
    version,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 nothing has changed · 1 refused, nothing is written · \
    2 usage · 10 the file has changed, or would · 11 as 10 or 0, but something failed or stands \
    still: see the summary"
)]
pub(crate) struct Arguments {
    /// The catalog to work on.
    #[arg(long, value_name = "FILE", default_value = "catalog.json")]
    pub(crate) catalog: PathBuf,
    /// Only images whose name matches; repeatable.
    #[arg(long, value_name = "GLOB")]
    pub(crate) only: Vec<String>,
    /// Write nothing; exit 10 if the file would change.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) check: bool,
    /// Write nothing; print what would change.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Follow nothing: judge the file and bring it into canonical form.
    #[arg(long, conflicts_with_all = ["only", "keep_going", "origin", "summary", "subject"])]
    pub(crate) offline: bool,
    /// Move what can be moved; what failed keeps its pin, and the exit code is 11.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Write what happened as Markdown: the body of a pull request.
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
    /// Write one line for the commit.
    #[arg(long, value_name = "FILE")]
    pub(crate) subject: Option<PathBuf>,
    /// Ask this server in the place of an origin, of one of its mirrors (`ORIGIN/MIRROR`), or of
    /// a registry (`docker.io`). Then no other server is asked: images of other origins are left
    /// alone. The catalog keeps the official addresses.
    #[arg(long, value_name = "NAME=URL", value_parser = origin)]
    pub(crate) origin: Vec<(String, Url)>,
    /// Accept snapshots that are older than the pinned ones.
    #[arg(long)]
    pub(crate) allow_older: bool,
    /// Report upstreams without a new snapshot for so many days (exit code 11).
    #[arg(long, value_name = "DAYS")]
    pub(crate) max_age: Option<u64>,
    /// Days between two refreshes: what forgets a snapshot sooner is not added, unless it says
    /// `"ephemeral": true`.
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_INTERVAL)]
    pub(crate) interval: u64,
    /// Read the bytes of every new pin and hash them, together with their metadata where
    /// upstream publishes a fingerprint of both.
    #[arg(long)]
    pub(crate) deep: bool,
    /// Ask the mirrors of every origin, too, and refuse what they contradict.
    #[arg(long)]
    pub(crate) cross_check: bool,
    /// A catalog of your own: any host, any path, plain http; as `distro-fetch --catalog` reads it.
    #[arg(long)]
    pub(crate) private: bool,
    /// The pinned keys, with their `keys.json`.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/keys"))]
    #[arg(hide_default_value = true)]
    pub(crate) keys: PathBuf,
    /// A PEM file with certificates to trust in the place of the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// How often a server that is busy or broken is asked again.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) retries: u32,
    /// How many questions are asked at once.
    #[arg(short, long, value_name = "N", default_value = "8")]
    pub(crate) jobs: NonZeroUsize,
}

fn origin(text: &str) -> Result<(String, Url), String> {
    let (name, url) = text.split_once('=').ok_or("NAME=URL is expected")?;
    let url = if url.ends_with('/') {
        url.to_owned()
    } else {
        format!("{url}/")
    };
    let url: Url = url
        .parse()
        .map_err(|error: distro_fetch::Error| error.message().to_owned())?;
    Ok((name.to_owned(), url))
}
