//! `gotrace config`: whether a configuration can be used, and what one looks like.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Subcommand;

use super::{FINE, log};
use crate::config::{DEFAULT_PATH, EXAMPLE, Layer};

/// Check a configuration file, or print an example of one
#[derive(Debug, clap::Args)]
#[command(
    before_help = "  gotrace config check /etc/gotrace/gotrace.toml && sudo systemctl reload gotrace\n  \
                   gotrace config example > gotrace.toml"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the agent could use a file; 2 if not
    Check {
        /// The file [default: /etc/gotrace/gotrace.toml]
        #[arg(value_name = "FILE", env = "GOTRACE_CONFIG", hide_env = true)]
        file: Option<PathBuf>,
    },
    /// Print a file with every key, its default and what it means
    Example,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    match &args.command {
        ConfigCommand::Check { file } => {
            let path = file.clone().unwrap_or_else(|| DEFAULT_PATH.into());
            Layer::read(Some(&path))?;
            log(format_args!("{} can be used", path.display()));
        }
        ConfigCommand::Example => io::stdout().lock().write_all(EXAMPLE.as_bytes())?,
    }
    Ok(FINE)
}
