//! `gotrace config`: checks a configuration file, or prints an example.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Subcommand;

use super::{FINE, log};
use crate::config::{DEFAULT_PATH, EXAMPLE, Layer};

/// Check a configuration file, or print an example
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  gotrace config check /etc/gotrace/gotrace.toml && sudo systemctl reload gotrace\n  \
                   gotrace config example > gotrace.toml"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check whether the agent accepts a configuration file; exit with 2 if not
    #[command(
        before_help = "Examples:\n  gotrace config check\n  gotrace config check ./gotrace.toml"
    )]
    Check {
        /// File to check [default: /etc/gotrace/gotrace.toml]
        #[arg(value_name = "FILE", env = "GOTRACE_CONFIG", hide_env = true)]
        file: Option<PathBuf>,
    },
    /// Print a configuration file with every key, its default and its meaning
    #[command(before_help = "Examples:\n  gotrace config example > gotrace.toml")]
    Example,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    match &args.command {
        ConfigCommand::Check { file } => {
            let path = file.clone().unwrap_or_else(|| DEFAULT_PATH.into());
            Layer::read(Some(&path))?;
            log(format_args!("{} is valid", path.display()));
        }
        ConfigCommand::Example => io::stdout().lock().write_all(EXAMPLE.as_bytes())?,
    }
    Ok(FINE)
}
