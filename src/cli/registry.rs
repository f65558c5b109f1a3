//! Registries of container images: who we are to them, and what stands on the command line about
//! them.

#![allow(clippy::disallowed_methods)] // where passwords are kept is said in the environment

use std::env;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use distro_fetch::cache::Rehash;
use distro_fetch::fetch::Reach;
use distro_fetch::oci::{
    Credentials, ImageReference, Login, Platform, PullOptions, PullPolicy, Puller, StoredImage,
};
use distro_fetch::{Error, Kind};

use super::context::{Arches, Context};
use super::hints::Usage;

/// How registries of container images are asked.
#[derive(Args, Debug)]
#[command(next_help_heading = "Container images")]
pub(crate) struct Registry {
    /// Which of several images: linux/arm64, linux/arm/v7 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    /// Speak to the registry of the image without TLS
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Who we are to the registry of the image, instead of what `docker login` knows
    #[arg(long, value_name = "USER", requires = "password_stdin")]
    pub(crate) username: Option<String>,
    /// Read the password from stdin
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
}

/// What a puller may do.
pub(crate) struct Manner {
    pub(crate) policy: PullPolicy,
    pub(crate) reach: Reach,
    pub(crate) rehash: Rehash,
}

impl Manner {
    /// Looks into the cache and nowhere else.
    pub(crate) const OFFLINE: Self = Self {
        policy: PullPolicy::Never,
        reach: Reach::CacheOnly,
        rehash: Rehash::IfTouched,
    };
}

/// The one that brings these images.
pub(crate) fn puller(
    context: &Context,
    arguments: &Registry,
    manner: &Manner,
    references: &[&ImageReference],
) -> Result<Puller> {
    let platform = match &arguments.platform {
        Some(platform) => Some(platform.clone()),
        None => platform_of_arch(context)?,
    };
    new(context, arguments, manner, references, platform)
}

/// The one that brings images of which somebody else says what they are for.
pub(crate) fn pinned_puller(
    context: &Context,
    arguments: &Registry,
    manner: &Manner,
    references: &[&ImageReference],
) -> Result<Puller> {
    new(context, arguments, manner, references, None)
}

fn new(
    context: &Context,
    arguments: &Registry,
    manner: &Manner,
    references: &[&ImageReference],
    platform: Option<Platform>,
) -> Result<Puller> {
    let options = PullOptions {
        fetch: context.options(manner.reach, manner.rehash)?,
        platform,
        policy: manner.policy,
        jobs: context.global.jobs.into(),
        plain: arguments.insecure,
        credentials: credentials(arguments, references)?,
    };
    Ok(Puller::new(&context.cache()?, options))
}

/// `--arch` of one architecture means its platform.
fn platform_of_arch(context: &Context) -> Result<Option<Platform>> {
    match context.arches()? {
        Arches::Unsaid => Ok(None),
        Arches::These(list) if list.len() == 1 => Ok(list.first().copied().map(Platform::of)),
        Arches::All | Arches::These(_) => {
            let message = "a container image is for one platform: name it with --platform";
            Err(Usage(message.to_owned()).into())
        }
    }
}

/// A reference, or wrong usage.
pub(crate) fn reference(text: &str) -> Result<ImageReference> {
    text.parse()
        .map_err(|error: Error| Usage(format!("{text}: {}", error.message())).into())
}

/// Whether a name on the command line is that of a container image: no name of a catalog has a
/// slash.
pub(crate) fn is_reference(text: &str) -> bool {
    text.contains('/')
}

/// Whether an image of the cache is what a reference means, by its tag or any of its digests.
pub(crate) fn means(reference: &ImageReference, image: &StoredImage) -> bool {
    let Some(of) = image.reference() else {
        return false;
    };
    of.repository == reference.repository
        && match reference.digest {
            Some(digest) => image.digest == digest || image.resolved == Some(digest),
            None => of == *reference,
        }
}

fn credentials(arguments: &Registry, references: &[&ImageReference]) -> Result<Credentials> {
    let path = |name: &str| {
        let path = env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let home = path("HOME");
    let below_home = |name: &str| home.as_ref().map(|home| home.join(name));
    let docker = env::var_os("DOCKER_CONFIG").filter(|it| !it.is_empty());
    let files = [
        env::var_os("REGISTRY_AUTH_FILE")
            .filter(|it| !it.is_empty())
            .map(PathBuf::from),
        docker
            .map(PathBuf::from)
            .or_else(|| below_home(".docker"))
            .map(|folder| folder.join("config.json")),
        path("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
        path("XDG_CONFIG_HOME")
            .or_else(|| below_home(".config"))
            .map(|folder| folder.join("containers/auth.json")),
    ];
    let mut credentials = Credentials::default();
    for file in files.into_iter().flatten() {
        credentials = credentials.with_file(file);
    }
    if let Some(path) = env::var_os("PATH") {
        credentials = credentials.with_helpers_in(env::split_paths(&path));
    }
    let Some(user) = &arguments.username else {
        return Ok(credentials);
    };
    let mut hosts: Vec<&str> = references.iter().map(|it| it.repository.host()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let [host] = hosts[..] else {
        let message = "--username is for one registry, and these are several";
        return Err(Usage(message.to_owned()).into());
    };
    let login = Login::Password {
        user: user.clone(),
        password: password()?,
    };
    Ok(credentials.with_login(host, login))
}

/// Everything on stdin but the end of its line.
fn password() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_PASSWORD)
        .read_to_string(&mut text);
    if read.is_err() {
        let message = "--password-stdin: what stdin says is not text";
        return Err(Error::new(Kind::Local, message).into());
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() || text.contains(char::is_control) {
        let message = "--password-stdin: one line, with the password on it";
        return Err(Usage(message.to_owned()).into());
    }
    Ok(text.to_owned())
}

/// Tokens are passwords, too, and a few KiB long.
const MAX_PASSWORD: u64 = 64 << 10;
