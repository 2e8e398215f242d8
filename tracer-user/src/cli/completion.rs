//! `gotrace completion`: prints the completions of a shell.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, FINE};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Print the completions of a shell. `gotrace install` and the packages install those of bash, zsh and fish.",
    before_help = "Examples:\n  source <(gotrace completion bash)\n  \
                   gotrace completion fish > ~/.config/fish/completions/gotrace.fish"
)]
pub(super) struct Args {
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    io::stdout().lock().write_all(&script(args.shell))?;
    Ok(FINE)
}

/// The completions as a script of the shell.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gotrace", &mut script);
    script
}
