//! What every command needs: settings from flags and environment, catalog, cache.

#![allow(clippy::disallowed_methods)] // here, and for colours in `output.rs`, the environment is read

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use distro_fetch::base::{Date, Timestamp};
use distro_fetch::cache::{Cache, Rehash};
use distro_fetch::catalog::Rules;
use distro_fetch::fetch::{Fetcher, MirrorSpec, Options, Reach};
use distro_fetch::net::{self, Proxies};
use distro_fetch::{Arch, Catalog, Error, Kind, sys};

use super::args::Global;
use super::hints::Usage;
use super::output::Color;

/// Settings, and the catalog that they name.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) catalog: Catalog,
    pub(crate) color: Color,
}

/// Which architectures a command is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arches {
    /// None was named.
    Unsaid,
    /// `all`.
    All,
    /// These.
    These(Vec<Arch>),
}

impl Context {
    pub(crate) fn new(global: Global) -> Result<Self> {
        let catalog = match &global.catalog {
            None => Catalog::embedded(),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|error| Error::local("cannot read the catalog", path, error))?;
                Catalog::parse(&text, Rules::Overlay).map_err(|fault| {
                    Error::new(Kind::Format, format!("{}:{fault}", path.display())).with_path(path)
                })?
            }
        };
        let color = Color::of(global.color);
        Ok(Self {
            global,
            catalog,
            color,
        })
    }

    pub(crate) fn arches(&self) -> Result<Arches> {
        if self.global.arch.is_empty() {
            return Ok(Arches::Unsaid);
        }
        if self.global.arch.iter().any(|arch| arch == "all") {
            return Ok(Arches::All);
        }
        let mut list = Vec::new();
        for text in &self.global.arch {
            let arch: Arch = text.trim().parse()?;
            if !list.contains(&arch) {
                list.push(arch);
            }
        }
        Ok(Arches::These(list))
    }

    pub(crate) fn cache(&self) -> Result<Cache> {
        let folder = match &self.global.cache_dir {
            Some(folder) if folder.as_os_str().is_empty() => {
                return Err(Usage("--cache-dir is empty".to_owned()).into());
            }
            Some(folder) => folder.clone(),
            None => default_cache_dir()?,
        };
        Ok(Cache::at(folder)?)
    }

    pub(crate) fn fetcher(&self, reach: Reach, rehash: Rehash) -> Result<Fetcher> {
        let options = self.options(reach, rehash)?;
        Ok(Fetcher::new(self.cache()?, options))
    }

    /// Who is asked, and how.
    pub(crate) fn options(&self, reach: Reach, rehash: Rehash) -> Result<Options> {
        let global = &self.global;
        let options = Options {
            mirrors: self.mirrors()?,
            mirrors_only: global.mirror_only,
            reach: if global.offline {
                Reach::CacheOnly
            } else {
                reach
            },
            rehash,
            retries: global.retries,
            net: self.net()?,
            ..Options::default()
        };
        if options.mirrors_only && options.mirrors.is_empty() {
            return Err(Usage("--mirror-only needs at least one --mirror".to_owned()).into());
        }
        Ok(options)
    }

    pub(crate) fn mirrors(&self) -> Result<Vec<MirrorSpec>> {
        let mut mirrors = Vec::new();
        for text in self.global.mirror.iter().filter(|text| !text.is_empty()) {
            let mirror: MirrorSpec = text
                .parse()
                .map_err(|error: Error| Usage(format!("--mirror: {}", error.message())))?;
            if let MirrorSpec::Preset(name) = &mirror
                && self.catalog.presets(name).next().is_none()
            {
                return Err(Usage(self.unknown_preset(name)).into());
            }
            mirrors.push(mirror);
        }
        Ok(mirrors)
    }

    /// The day by which the age of a pin is judged: `SOURCE_DATE_EPOCH`, or else the clock's.
    ///
    /// <https://reproducible-builds.org/specs/source-date-epoch/>: seconds since 1970, and an error
    /// if it is anything else.
    pub(crate) fn today() -> Result<Date> {
        let told = env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty());
        let now = match &told {
            None => Some(sys::now()),
            Some(text) => text
                .to_str()
                .and_then(|text| text.parse().ok())
                .map(Timestamp),
        };
        now.and_then(Timestamp::date).ok_or_else(|| {
            let message = match told {
                Some(text) => format!(
                    "SOURCE_DATE_EPOCH={}: not seconds since 1970",
                    text.display()
                ),
                None => "the clock of this machine is wrong".to_owned(),
            };
            Usage(message).into()
        })
    }

    /// The time that what is made bears, if somebody says one: seconds since 1970.
    pub(crate) fn source_date() -> Result<Option<u64>> {
        let Some(text) = env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let seconds = text.to_str().and_then(|text| text.parse().ok());
        seconds.map(Some).ok_or_else(|| {
            let text = text.display();
            Usage(format!("SOURCE_DATE_EPOCH={text}: not seconds since 1970")).into()
        })
    }

    fn unknown_preset(&self, name: &str) -> String {
        let mut known: Vec<&str> = self
            .catalog
            .origins
            .iter()
            .flat_map(|origin| origin.mirrors.iter().map(|mirror| &*mirror.name))
            .collect();
        known.sort_unstable();
        known.dedup();
        format!(
            "--mirror: {name:?} is neither a URL nor a mirror of the catalog (there are: {})",
            known.join(", ")
        )
    }

    fn net(&self) -> Result<net::Config> {
        let mut config = net::Config::default();
        if let Some(time) = self.global.timeout {
            if time.is_zero() {
                return Err(Usage("--timeout: more than 0 seconds".to_owned()).into());
            }
            config.timeouts = net::Timeouts {
                connect: time,
                first_byte: time,
                inactivity: time,
            };
        }
        config.proxies = Proxies::of_variables(|name| env::var(name).ok());
        config.ca = match &self.global.ca_cert {
            Some(path) => Some(path.clone()),
            None => env::var_os("SSL_CERT_FILE")
                .filter(|it| !it.is_empty())
                .map(PathBuf::from),
        };
        Ok(config)
    }
}

/// As the XDG base directory specification has it: a relative `XDG_CACHE_HOME` is ignored.
fn default_cache_dir() -> Result<PathBuf> {
    let xdg = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || {
        env::var_os("HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = xdg
        .or_else(|| Some(home()?.join(".cache")))
        .ok_or_else(|| {
            Error::new(
                Kind::Local,
                "there is no place for the cache: neither HOME nor XDG_CACHE_HOME is set",
            )
        })?;
    Ok(base.join("distro-fetch"))
}
