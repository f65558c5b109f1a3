//! What may stand on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::convert::Convert;
use super::fsimg::ImageOptions;
use super::limits::ArchiveLimits;
use super::mirror::Mirror;
use super::publish::Publish;
use super::pull::Pull;
use super::registry::Registry;

/// Cargo.lock for operating-system images: pinned names become verified files.
#[derive(Debug, Parser)]
#[command(name = "distro-fetch", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done · 1 other · 2 usage · 3 unknown image or architecture · \
    4 not cached and offline · 5 network · 6 gone upstream · 7 wrong bytes · 8 this machine · \
    9 malformed or unsupported · 130, 143 interrupted"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// `ensure` with everything on one level, for a start that is not spent on building what the other
/// commands know: clap copies every global option into every command, and its value back. What
/// parses here means the same in [`Arguments`]; what does not is theirs to explain.
#[derive(Debug, Parser)]
#[command(name = "distro-fetch", disable_help_flag = true)]
struct EnsureOnly {
    #[command(flatten)]
    global: Global,
    #[arg(value_parser = ["ensure"])]
    verb: String,
    #[command(flatten)]
    ensure: Ensure,
}

impl EnsureOnly {
    fn parse(arguments: &[OsString]) -> Option<Self> {
        // On one level nothing has to be handed down.
        let mut command = Self::command().mut_args(|argument| argument.global(false));
        let mut matches = command.try_get_matches_from_mut(arguments).ok()?;
        let verb = matches.index_of("verb")?;
        // An option of `ensure` stands behind it.
        let early = [
            "form",
            "output",
            "from",
            "size",
            "no_fix_gpt",
            "pull",
            "force",
            "verify",
            "sha256",
            "label",
            "uuid",
            "inode_ratio",
            "reserved",
            "journal",
            "add",
            "map_owner",
            "report",
            "devices",
            "platform",
            "insecure",
            "username",
            "password_stdin",
        ]
        .into_iter()
        .filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
        .any(|id| matches.index_of(id).is_none_or(|at| at < verb));
        let parsed = (!early).then(|| Self::from_arg_matches_mut(&mut matches).ok())?;
        // Taking them apart takes longer than what `ensure` does with a cached image.
        std::mem::forget((command, matches));
        parsed
    }
}

impl Arguments {
    /// What the process was started with.
    pub(crate) fn of_process() -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        if arguments.iter().any(|argument| argument == "ensure")
            && let Some(EnsureOnly { global, ensure, .. }) = EnsureOnly::parse(&arguments)
        {
            return Ok(Self {
                global,
                command: Command::Ensure(ensure),
            });
        }
        Self::try_parse_from(arguments)
    }
}

/// Options of every command.
#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of its own on the command line
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where verified files are kept [default: ~/.cache/distro-fetch]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "DISTRO_FETCH_CACHE_DIR",
        hide_env_values = true
    )]
    pub(crate) cache_dir: Option<PathBuf>,
    /// A catalog to use instead of the one that is built in
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DISTRO_FETCH_CATALOG",
        hide_env_values = true
    )]
    pub(crate) catalog: Option<PathBuf>,
    /// Architectures, or `all` [default: this machine's; for list and audit: all]
    #[arg(
        long,
        global = true,
        value_name = "ARCH",
        value_delimiter = ',',
        env = "DISTRO_FETCH_ARCH",
        hide_env_values = true
    )]
    pub(crate) arch: Vec<String>,
    /// Ask this mirror first: a base URL, a template with {path} {sha256} {name} {arch} {snapshot}
    /// {file} {host}, or the name of a catalog mirror
    #[arg(
        long,
        global = true,
        value_name = "MIRROR",
        value_delimiter = ' ',
        env = "DISTRO_FETCH_MIRROR",
        hide_env_values = true
    )]
    pub(crate) mirror: Vec<String>,
    /// Ask nobody but the mirrors that were given
    #[arg(long, global = true, env = "DISTRO_FETCH_MIRROR_ONLY", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) mirror_only: bool,
    /// Open no socket: only what is cached
    #[arg(long, global = true, env = "DISTRO_FETCH_OFFLINE", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) offline: bool,
    /// One JSON document on stdout
    #[arg(long, global = true, env = "DISTRO_FETCH_JSON", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) json: bool,
    /// Say nothing but results and errors
    #[arg(long, short, global = true, env = "DISTRO_FETCH_QUIET", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) quiet: bool,
    /// Say more; repeat for still more
    #[arg(long, short, global = true, action = clap::ArgAction::Count, env = "DISTRO_FETCH_VERBOSE", hide_env_values = true)]
    pub(crate) verbose: u8,
    /// How progress is shown on stderr
    #[arg(long, global = true, value_name = "HOW", value_enum, default_value_t = ProgressMode::Auto, env = "DISTRO_FETCH_PROGRESS", hide_env_values = true)]
    pub(crate) progress: ProgressMode,
    /// Whether to use colour
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorMode::Auto, env = "DISTRO_FETCH_COLOR", hide_env_values = true)]
    pub(crate) color: ColorMode,
    /// Trust the certificates in this PEM file instead of the built-in ones
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DISTRO_FETCH_CA_CERT",
        hide_env_values = true
    )]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Give up on a silent server after this time (30, 30s, 2m)
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, env = "DISTRO_FETCH_TIMEOUT", hide_env_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// How many more chances a busy or broken source gets
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value_t = 3,
        env = "DISTRO_FETCH_RETRIES",
        hide_env_values = true
    )]
    pub(crate) retries: u32,
    /// How many images are fetched, sources asked, or files hashed at once
    #[arg(long, short, global = true, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64), env = "DISTRO_FETCH_JOBS", hide_env_values = true)]
    pub(crate) jobs: u16,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch, verify and cache; print one path per image
    Ensure(Ensure),
    /// What the catalog holds
    List(List),
    /// Every pin of one image: sources, size, whether it is cached
    Show(Show),
    /// Read and hash again what the cache holds
    Verify(Verify),
    /// Unpack a local archive with the same safe extractor
    Unpack(Unpack),
    /// Anything in another form: disk images, archives, directories, container images
    Convert(Convert),
    /// Print the canonical digest of a tree: a directory, or an archive as root would unpack it
    Digest(DigestOf),
    /// Ask every source of every pin whether it still has the bytes
    #[command(after_help = AUDIT_CODES)]
    Audit(Audit),
    /// Look after the cache
    #[command(subcommand)]
    Cache(Cache),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all pages into a directory
    Man {
        /// Where to write them
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Bring container images into the cache; print NAME@sha256:… per image
    Pull(Pull),
    /// Fetch pins and lay them out in a directory that any static server can serve
    Mirror(Mirror),
    /// Make a simplestreams server for Incus and LXD of a folder of images; print where its index is
    #[command(after_help = super::publish::LAYOUT)]
    Publish(Publish),
}

#[derive(Args, Debug)]
pub(crate) struct Ensure {
    /// NAME[@SNAPSHOT], distro:version, a distro, a URL with --sha256, or docker://NAME@sha256:…
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// What to make of it
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = Form::Source)]
    pub(crate) form: Form,
    /// Leave the result here (shared blocks where the file system can, else a copy)
    #[arg(long, short, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// What the file of a URL is, where its name does not tell: raw or qcow2
    #[arg(long, value_name = "FORMAT")]
    pub(crate) from: Option<distro_fetch::base::DiskFormat>,
    #[command(flatten)]
    pub(crate) grow: Grow,
    /// Whether to fetch what is not cached
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Fetch::Missing)]
    pub(crate) pull: Fetch,
    /// Overwrite the output
    #[arg(long)]
    pub(crate) force: bool,
    /// Hash the file again even if it is cached
    #[arg(long)]
    pub(crate) verify: bool,
    /// What the bytes of a URL must hash to (64 hex digits)
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<distro_fetch::Digest>,
    #[command(flatten)]
    pub(crate) image: ImageOptions,
    #[command(flatten)]
    pub(crate) tree: Tree,
    #[command(flatten)]
    pub(crate) limits: ArchiveLimits,
    #[command(flatten)]
    pub(crate) registry: Registry,
}

/// What becomes of the size of a disk.
#[derive(Args, Debug)]
pub(crate) struct Grow {
    /// Grow a disk to this size (`20G`), the new space is a hole; the size of an ext4 file system
    #[arg(long, value_name = "BYTES", value_parser = distro_fetch::base::parse_bytes)]
    pub(crate) size: Option<u64>,
    /// Leave the backup of a GUID partition table where it is when a disk grows
    #[arg(long)]
    pub(crate) no_fix_gpt: bool,
}

/// How trees are made.
#[derive(Args, Debug)]
pub(crate) struct Tree {
    /// Keep the archive's owners by moving them into a range: `auto` is this user's subordinate
    /// ids, in a user namespace (unshare and newuidmap are needed); root may name FIRST:COUNT
    #[arg(long, value_name = "RANGE", num_args = 0..=1, default_missing_value = "auto", require_equals = true)]
    pub(crate) map_owner: Option<MapOwner>,
    /// Write what could not be kept as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// What to do about devices that cannot be made
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = DevicePolicy::Report)]
    pub(crate) devices: DevicePolicy,
}

#[derive(Args, Debug)]
pub(crate) struct Unpack {
    /// The archive
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The directory that it becomes: new, or empty
    #[arg(value_name = "DIR")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) read: ReadArchive,
    /// Replace what is at DIR, once the new tree is whole
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) tree: Tree,
}

/// How archives are read.
#[derive(Args, Debug)]
pub(crate) struct ReadArchive {
    /// plain, gzip, xz, zstd or bzip2, where the name of the file does not tell
    #[arg(long, value_name = "FORMAT")]
    pub(crate) from: Option<distro_fetch::archive::Format>,
    #[command(flatten)]
    pub(crate) limits: ArchiveLimits,
}

#[derive(Args, Debug)]
pub(crate) struct DigestOf {
    /// A directory, an archive, a container image on this machine, an .ext4 or .erofs image
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Print a line for each name instead: type, mode, owners, time, size, path, links, attributes
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) read: ReadArchive,
}

/// Where the archive's owners go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapOwner {
    /// Into the subordinate ids of this user.
    Auto,
    /// To these ids.
    Range {
        /// What user and group 0 become.
        first: u32,
        /// How many there are.
        count: u32,
    },
}

impl std::str::FromStr for MapOwner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let (first, count) = text.split_once(':').unwrap_or((text, "65536"));
        let number = |text: &str| {
            let parsed = text.parse::<u32>();
            parsed.map_err(|_| "auto, or FIRST:COUNT as in 100000:65536".to_owned())
        };
        Ok(Self::Range {
            first: number(first)?,
            count: number(count)?,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DevicePolicy {
    /// Leave them out and report them
    Report,
    /// Refuse an archive with devices
    Refuse,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Names, distros or patterns with * and ?
    #[arg(value_name = "GLOB")]
    pub(crate) globs: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The image, or docker://NAME[:TAG][@sha256:…]
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) registry: Registry,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Only these images
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Fetch again what is damaged
    #[arg(long)]
    pub(crate) repair: bool,
    #[command(flatten)]
    pub(crate) limits: ArchiveLimits,
    #[command(flatten)]
    pub(crate) registry: Registry,
}

#[derive(Args, Debug)]
pub(crate) struct Audit {
    /// Names, distros or patterns with * and ? [default: every image]
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Read and hash everything, instead of looking at status, size and first bytes
    #[arg(long)]
    pub(crate) deep: bool,
}

const AUDIT_CODES: &str = "Each source is one of: alive · unreachable (no answer, refused, busy, an error page) · drifted \
    (other bytes) · gone (404, 410). A pin is the best of its sources.\n\n\
    Exit codes: 0 each pin is alive at a source · 5 none is lost, but some could not be reached \
    anywhere · 6 a pin is drifted or gone at every source · otherwise as of every command";

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Print where the cache is
    Dir,
    /// What is cached
    List,
    /// Remove images from the cache
    Remove {
        /// NAME[@SNAPSHOT], every snapshot if none is named; or docker://NAME[:TAG][@sha256:…]
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Remove what the catalog no longer pins, and what old downloads left
    Prune(Prune),
}

#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Pinned images may go, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Keep the newest N snapshots of each image and architecture
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) keep: usize,
    /// Only what was fetched longer ago (12h, 30d)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Only until the cache is no larger than this, oldest first
    #[arg(long, value_name = "BYTES", value_parser = distro_fetch::base::parse_bytes)]
    pub(crate) max_size: Option<u64>,
    /// Say what would go, and remove nothing
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// The verified upstream file
    Source,
    /// An unpacked tree
    Dir,
    /// A raw disk
    Raw,
    /// An ext4 file system
    Ext4,
    /// An EROFS file system
    Erofs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fetch {
    /// Fetch it
    Missing,
    /// Do not: the same as --offline
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar on a terminal, plain lines otherwise
    Auto,
    /// A bar
    Bar,
    /// Lines
    Plain,
    /// One JSON object per line
    Json,
    /// Nothing
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorMode {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err("a number with s, m, h, d or w, as in 90s or 30d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "not a number".to_owned())?;
    let seconds = number.checked_mul(scale).ok_or("too long")?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
        EnsureOnly::command().debug_assert();
    }

    #[test]
    fn the_short_way_to_ensure_means_the_same() {
        for (line, short) in [
            ("ensure alpine", true),
            (
                "--cache-dir C -v ensure alpine debian --arch all -o F --mirror M",
                true,
            ),
            ("ensure --pull never --as raw --size 1G x --force", true),
            ("ensure ensure", true),
            ("--arch ensure ensure x --sha256 00", false),
            ("-o F ensure alpine", false),
            ("--force ensure alpine", false),
            ("ensure", false),
            ("ensure --help", false),
            ("list ensure", false),
            ("cache remove ensure", false),
        ] {
            let words = || {
                ["distro-fetch"]
                    .into_iter()
                    .chain(line.split(' '))
                    .map(OsString::from)
            };
            let by_short_way = EnsureOnly::parse(&words().collect::<Vec<_>>());
            assert_eq!(by_short_way.is_some(), short, "{line}");
            if let Some(EnsureOnly { global, ensure, .. }) = by_short_way {
                let command = Command::Ensure(ensure);
                let short = Arguments { global, command };
                let long = Arguments::try_parse_from(words()).unwrap();
                assert_eq!(format!("{short:?}"), format!("{long:?}"), "{line}");
            }
        }
    }

    #[test]
    fn durations() {
        for (text, expect) in [("30", 30), ("90s", 90), ("2m", 120), ("30d", 2_592_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(expect)));
        }
        for bad in [
            "",
            "s",
            "-1",
            "1y",
            "99999999999999999999",
            "9999999999999999999w",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
