//! The command `distro-fetch`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
