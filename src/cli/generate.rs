//! Completions and manual pages, from the definition of the command line itself.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory;

use super::args::Arguments;
use super::output;

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "distro-fetch", &mut script);
    output::result(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(folder: Option<&Path>) -> Result<ExitCode> {
    let command = Arguments::command();
    match folder {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            output::result(String::from_utf8_lossy(&page).trim_end())?;
        }
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            let mut command = command;
            command.build();
            write_pages(&command, folder)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `distro-fetch.1`, `distro-fetch-cache-prune.1` and so on.
fn write_pages(command: &clap::Command, folder: &Path) -> Result<()> {
    for inner in command
        .get_subcommands()
        .filter(|it| it.get_name() != "help")
    {
        write_pages(inner, folder)?;
    }
    let man = clap_mangen::Man::new(command.clone());
    let path = folder.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)?;
    std::fs::File::create(&path)
        .and_then(|mut file| file.write_all(&page))
        .with_context(|| format!("cannot write {}", path.display()))
}
