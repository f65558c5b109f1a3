//! The command line: prints, reads the environment, knows clap and anyhow.
//!
//! Every command is a function from its arguments and a [`Context`] to what is printed. Results go
//! to stdout, everything else to stderr, and what goes wrong becomes one of the exit codes of
//! `hints.rs`.

mod args;
mod audit;
mod cache;
mod context;
mod convert;
mod convert_tree;
mod digest;
mod disk;
mod ensure;
mod fsimg;
mod generate;
mod hints;
mod images;
mod limits;
mod list;
mod mirror;
mod namespace;
mod output;
mod pinned;
mod progress;
mod publish;
mod pull;
mod registry;
mod select;
mod show;
mod signals;
mod unpack;
mod verify;

use std::process::ExitCode;

use self::args::{Arguments, Command};
use self::context::Context;

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::of_process() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are results; everything else is usage, exit code 2.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(hints::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let json = arguments.global.json;
    let color = output::Color::of(arguments.global.color);
    match dispatch(arguments) {
        Ok(code) => code,
        Err(error) => hints::report(&error, json, color),
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let context = Context::new(arguments.global)?;
    match arguments.command {
        Command::Ensure(arguments) => ensure::run(&context, &arguments),
        Command::List(arguments) => list::run(&context, &arguments),
        Command::Show(arguments) => show::run(&context, &arguments),
        Command::Verify(arguments) => verify::run(&context, &arguments),
        Command::Unpack(arguments) => unpack::run(&context, &arguments),
        Command::Convert(arguments) => convert::run(&context, arguments),
        Command::Digest(arguments) => digest::run(&context, &arguments),
        Command::Audit(arguments) => audit::run(&context, &arguments),
        Command::Cache(command) => cache::run(&context, command),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { folder } => generate::man(folder.as_deref()),
        Command::Pull(arguments) => pull::run(&context, &arguments),
        Command::Mirror(arguments) => mirror::run(&context, &arguments),
        Command::Publish(arguments) => publish::run(&context, &arguments),
    }
}
