//! `gotrace config`: checks a configuration, prints the values in force, or prints an example.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Subcommand};
use serde::Serialize;

use super::agent::SettingArgs;
use super::report::Format;
use super::{FINE, log};
use crate::config::{DEFAULT_PATH, EXAMPLE, EffectiveValue, File, effective};
use crate::render::write_document;

/// Check a configuration, print the values in force, or print an example
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  gotrace config check /etc/gotrace/gotrace.toml && sudo systemctl reload gotrace\n  \
                   sudo gotrace config effective\n  \
                   gotrace config example > gotrace.toml"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check whether the agent accepts a configuration; exit with 2 if not
    #[command(
        long_about = "Check whether the agent accepts a configuration; exit with 2 if not.\n\nThe check performs the start of the agent without \
                      the steps that act. It reads the files that the configuration names. It writes nothing, loads no program and opens no \
                      connection. Run it as the agent's user, because another user may have other rights to these files. Flags and \
                      environment variables of the agent apply, too.",
        before_help = "Examples:\n  gotrace config check\n  gotrace config check ./gotrace.toml"
    )]
    Check {
        /// File to check [default: /etc/gotrace/gotrace.toml]
        #[arg(value_name = "FILE", env = "GOTRACE_CONFIG", hide_env = true)]
        file: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingArgs,
    },
    /// Print each value in force and its source: default, file and line, environment variable or flag
    #[command(
        long_about = "Print each value in force and its source: default, file and line, environment variable or flag.\n\nThe environment is \
                      that of this command. A service has its own: `systemctl show gotrace --property Environment` prints it. Secrets are not \
                      printed: of headers only the names, of addresses neither user nor password.",
        before_help = "Examples:\n  sudo gotrace config effective\n  gotrace config effective --config ./gotrace.toml --format json"
    )]
    Effective {
        /// Configuration file [default: /etc/gotrace/gotrace.toml, if it exists]
        #[arg(long, value_name = "FILE", env = "GOTRACE_CONFIG", hide_env = true)]
        config: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingArgs,
        /// Output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Print a configuration file with every key, its default and its meaning
    #[command(before_help = "Examples:\n  gotrace config example > gotrace.toml")]
    Example,
}

/// `matches` are those of this command; they contain the source of each flag. Returns the exit code.
pub(super) fn execute(args: &Args, matches: Option<&ArgMatches>) -> anyhow::Result<u8> {
    match &args.command {
        ConfigCommand::Check { file, settings } => check(file.as_ref(), settings)?,
        ConfigCommand::Effective {
            config,
            settings,
            format,
        } => {
            let file = File::read(config.as_deref())?;
            let matches = matches.and_then(ArgMatches::subcommand).map(|it| it.1);
            let source_of = |key: &str| matches.and_then(|it| source(it, key));
            let values = effective(settings.layer(), &file, &source_of)?;
            print(&values, *format, &mut io::stdout().lock())?;
        }
        ConfigCommand::Example => io::stdout().lock().write_all(EXAMPLE.as_bytes())?,
    }
    Ok(FINE)
}

fn check(file: Option<&PathBuf>, settings: &SettingArgs) -> anyhow::Result<()> {
    let path = file.cloned().unwrap_or_else(|| DEFAULT_PATH.into());
    let file = File::read(Some(&path))?;
    let checked = settings.load(&file)?.check();
    checked.map_err(|error| settings.locate(&file, error))?;
    log(format_args!("the agent accepts {}", path.display()));
    Ok(())
}

/// The flag or the environment variable that set a key.
fn source(matches: &ArgMatches, key: &str) -> Option<String> {
    // Keys of sections have no flag.
    let source = matches
        .try_contains_id(key)
        .ok()
        .and_then(|_| matches.value_source(key))?;
    match source {
        ValueSource::EnvVariable => Some(format!(
            "GOTRACE_{}",
            key.replace('.', "_").to_ascii_uppercase()
        )),
        ValueSource::CommandLine => Some(match key {
            "forget_targets_hours" => "--forget-targets".to_owned(),
            _ => format!("--{}", key.replace(['_', '.'], "-")),
        }),
        ValueSource::DefaultValue | _ => None,
    }
}

#[derive(Serialize)]
struct Values<'a> {
    values: &'a [EffectiveValue],
}

fn print(values: &[EffectiveValue], format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
    match format.layout() {
        None => {
            for EffectiveValue { key, value, source } in values {
                if value.is_null() {
                    writeln!(out, "# {key} has no value")?;
                } else {
                    writeln!(out, "{key} = {value}  # {source}")?;
                }
            }
        }
        Some(layout) => write_document(&Values { values }, layout, out)?,
    }
    Ok(())
}
