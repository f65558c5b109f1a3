//! `--map-owner=auto`: the same command once more, as root of a user namespace.
//!
//! The kernel lets an ordinary user be root of a namespace in which the ids of an archive exist:
//! user 0 is the user, the others are the user's subordinate ids (subuid(5)). Writing such a map
//! takes `newuidmap`, which is set-user-ID; `unshare` of util-linux (2.38) knows how to ask it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context as _, Result};
use distro_fetch::sys;

use super::args::MapOwner;
use super::hints::Usage;

/// Runs this very command in a namespace of its own, if that is asked for and we are not in one.
/// Returns if there is nothing to enter.
pub(crate) fn enter(map: Option<MapOwner>) -> Result<()> {
    if map != Some(MapOwner::Auto) || sys::is_in_user_namespace() {
        return Ok(());
    }
    if sys::is_root() {
        let message = "--map-owner=auto is for ordinary users: root keeps owners anyway, or moves \
                       them with --map-owner=FIRST:COUNT";
        return Err(Usage(message.to_owned()).into());
    }
    let own = std::env::current_exe().context("cannot find this program")?;
    // In our place and not as our child: it gets our signals, and what it ends with is the end.
    let error = Command::new("unshare")
        .args(["--user", "--map-root-user", "--map-auto", "--"])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .exec();
    let needs = "--map-owner=auto needs `unshare` of util-linux 2.38 and `newuidmap`";
    Err(anyhow::Error::new(error).context(needs))
}
