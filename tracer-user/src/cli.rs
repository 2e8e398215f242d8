//! The command line: parses arguments, and turns results into text and an exit code.
//!
//! Each command has a module with its flags and its execution. stdout contains data, and stderr contains messages. If another program
//! owns stdout (`run`), everything goes to stderr.

mod advise;
mod agent;
mod analyze;
mod builds;
mod compare;
mod completion;
mod config;
mod diff;
mod doctor;
mod explain;
mod file;
mod install;

mod read_output;
mod record;
mod replay;
mod report;
mod run;
mod self_test_child;
mod show;
mod store;
mod summary;
mod trace;
mod what_if;

use std::ffi::OsString;
use std::fmt::Display;
use std::io;

use crate::bpf::SetupError;
use crate::log::Log;
use clap::{
    ArgMatches, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};

/// Version, commit, date of the commit, and target. Builds without Git have the commit `unknown`.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit ",
    env!("GOTRACE_COMMIT"),
    "\ndate   ",
    env!("GOTRACE_DATE"),
    "\ntarget ",
    env!("GOTRACE_TARGET")
);

/// Success.
const FINE: u8 = 0;
/// `doctor` or a budget found a problem.
const FINDINGS: u8 = 1;
/// Wrong usage, or failure of a command that runs no other program.
const FAILURE: u8 = 2;
/// Description of the codes of [`SetupError::exit_code`], for the help of each command that can return one.
const SETUP_EXIT_CODES: &str = "Errors that prevent tracing have their own codes:\n  \
                       110  no BTF, or an unsupported kernel\n  \
                       111  missing capabilities\n  \
                       112  a kernel locked down for confidentiality\n  \
                       113  the limit of locked memory\n  \
                       114  rejected by the kernel's verifier\n  \
                       115  any other reason";
/// gotrace's own failure, for commands that return the exit code of another program, as with env(1) and timeout(1).
const OWN_FAILURE: u8 = 125;

#[derive(Debug, Parser)]
#[command(
    name = "gotrace",
    version,
    long_version = LONG_VERSION,
    about = "Trace Go builds from the kernel",
    long_about = "Trace Go builds from the kernel. gotrace reports what a build produced, with which toolchain and flags, and how long each \
                  part took. It changes no flag, wrapper or environment variable of the build.",
    after_help = "Examples:\n  \
                  sudo gotrace run -- go build ./...\n  \
                  sudo gotrace install\n  \
                  sudo gotrace record -o build.gotrace -- make release\n  \
                  gotrace replay build.gotrace\n  \
                  sudo gotrace doctor",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Record(record::Args),
    Agent(agent::Args),
    Config(config::Args),
    Replay(replay::Args),
    Doctor(doctor::Args),
    Analyze(analyze::Args),
    Diff(diff::Args),
    Builds(builds::Args),
    Show(show::Args),
    Explain(explain::Args),
    Advise(advise::Args),
    WhatIf(what_if::Args),
    Compare(compare::Args),
    Summary(summary::Args),
    Store(store::Args),
    Install(install::Args),
    Uninstall(install::UninstallArgs),
    Completion(completion::Args),
    #[command(hide = true)]
    StorageProcess(agent::Args),
    #[command(name = "itself", hide = true)]
    SelfTestChild(self_test_child::Args),
    #[command(hide = true)]
    ReadOutput(read_output::Args),
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Color {
    /// Only on a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Executes the command; returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let (cli, matches) = match parse(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data. A closed pipe is no failure.
            let _closed = error.print();
            return match error.use_stderr() {
                false => FINE,
                true if runs_a_command(&args) => OWN_FAILURE,
                true => FAILURE,
            };
        }
    };
    match cli.command {
        Command::Run(args) => run::execute(args),
        Command::Record(args) => record::execute(args),
        Command::Agent(agent) => {
            exit_code(agent::execute(&agent, args.into_iter().skip(2).collect()))
        }
        Command::StorageProcess(args) => agent::execute_storage(&args),
        Command::Config(args) => {
            exit_code(config::execute(&args, matches.subcommand_matches("config")))
        }
        Command::Replay(args) => exit_code(replay::execute(&args)),
        Command::Doctor(args) => exit_code(doctor::execute(&args)),
        Command::Analyze(args) => exit_code(analyze::execute(&args)),
        Command::Diff(args) => exit_code(diff::execute(&args)),
        Command::Builds(args) => exit_code(builds::execute(&args)),
        Command::Show(args) => exit_code(show::execute(&args)),
        Command::Explain(args) => exit_code(explain::execute(&args)),
        Command::Advise(args) => exit_code(advise::execute(&args)),
        Command::WhatIf(args) => exit_code(what_if::execute(&args)),
        Command::Compare(args) => exit_code(compare::execute(&args)),
        Command::Summary(args) => exit_code(summary::execute(&args)),
        Command::Store(args) => exit_code(store::execute(&args)),
        Command::Install(args) => exit_code(install::execute(&args)),
        Command::Uninstall(args) => exit_code(install::execute_uninstall(&args)),
        Command::Completion(args) => exit_code(completion::execute(&args)),
        Command::SelfTestChild(args) => self_test_child::execute(&args),
        Command::ReadOutput(args) => read_output::execute(args),
    }
}

fn parse(args: &[OsString]) -> Result<(Cli, ArgMatches), clap::Error> {
    let color = if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        ColorChoice::Never
    } else {
        ColorChoice::Auto
    };
    let matches = Cli::command().color(color).try_get_matches_from(args)?;
    Ok((Cli::from_arg_matches(&matches)?, matches))
}

fn runs_a_command(args: &[OsString]) -> bool {
    args.get(1)
        .is_some_and(|word| word == "run" || word == "record")
}

fn exit_code(result: anyhow::Result<u8>) -> u8 {
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => FINE,
        Err(error) => {
            Log::stderr().error(format_args!("{error:#}"));
            let mut causes = error.chain();
            let setup = causes.find_map(|it| it.downcast_ref::<SetupError>());
            setup.map_or(FAILURE, SetupError::exit_code)
        }
    }
}

/// True if the reader of our output has closed the pipe: `gotrace replay FILE | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints one message on stderr.
fn log(sentence: impl Display) {
    Log::stderr().info(sentence);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn check(args: &[&str]) -> Result<Command, u8> {
        let args: Vec<OsString> = std::iter::once(&"gotrace")
            .chain(args)
            .map(OsString::from)
            .collect();
        parse(&args).map(|(cli, _)| cli.command).map_err(|_| {
            if runs_a_command(&args) {
                OWN_FAILURE
            } else {
                FAILURE
            }
        })
    }

    #[test]
    fn arguments_after_the_command_belong_to_the_command() {
        let Ok(Command::Run(args)) = check(&[
            "run", "--quiet", "go", "build", "-o", "x", "--format", "json",
        ]) else {
            panic!("should parse")
        };
        assert_eq!(args.command, ["go", "build", "-o", "x", "--format", "json"]);
    }

    #[test]
    fn the_command_of_the_self_test_exists() {
        assert!(check(&[crate::driver::SELF_TEST_COMMAND, "1-2"]).is_ok());
    }

    #[test]
    fn the_command_of_the_reader_exists_and_is_hidden() {
        let word = crate::inspect::child::WORD;
        assert!(matches!(
            check(&[word, "1", "ab"]),
            Ok(Command::ReadOutput(_))
        ));
        assert!(!Cli::command().render_long_help().to_string().contains(word));
    }

    #[test]
    fn the_storage_process_accepts_the_agents_arguments() {
        let word = crate::agent::STORAGE_COMMAND;
        let args = ["--keep-days", "3", "--listen", "none"];
        assert!(matches!(
            check(&[&["agent"], &args[..]].concat()),
            Ok(Command::Agent(_))
        ));
        assert!(matches!(
            check(&[&[word], &args[..]].concat()),
            Ok(Command::StorageProcess(_))
        ));
        assert!(!Cli::command().render_long_help().to_string().contains(word));
    }

    #[test]
    fn two_dashes_end_our_flags() {
        let Ok(Command::Run(args)) = check(&["run", "--", "--quiet"]) else {
            panic!("should parse")
        };
        assert_eq!(args.command, ["--quiet"]);
    }

    #[test]
    fn wrong_usage_of_run_differs_from_a_failed_command() {
        assert_eq!(
            check(&["run", "--no-such-flag", "--", "true"]).unwrap_err(),
            OWN_FAILURE
        );
        assert_eq!(check(&["replay"]).unwrap_err(), FAILURE);
    }
}
