//! The command line: arguments as typed become calls as meant, results become text and an exit code.
//!
//! Each word has a module with its flags and its doing. stdout is data and stderr is talk; where a word hands stdout to somebody
//! else (`run`), all is talk.

mod agent;
mod analyze;
mod builds;
mod config;
mod diff;
mod doctor;
mod file;
mod install;
mod itself;
mod read_output;
mod record;
mod replay;
mod report;
mod run;
mod show;
mod store;
mod summary;
mod trace;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};

use crate::bpf::SetupError;
use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// All is well.
const FINE: u8 = 0;
/// `doctor` and the like found something.
const FINDINGS: u8 = 1;
/// Wrong usage, or failure of a word that runs no command.
const FAILURE: u8 = 2;
/// What the codes of [`SetupError::exit_code`] mean, for the help of each word that can end with one.
const MISSING: &str = "What keeps gotrace from tracing at all has a code of its own: 110 no BTF, or not that of a known kernel; 111 missing \
                       capabilities; 112 a kernel locked down for confidentiality; 113 the limit of locked memory; 114 the kernel's \
                       verifier; 115 anything else.";
/// gotrace's own failure where the exit code is otherwise the command's, as with env(1) and timeout(1).
const OWN_FAILURE: u8 = 125;

#[derive(Debug, Parser)]
#[command(
    name = "gotrace",
    version,
    about = "Watch Go builds from the kernel",
    long_about = "Watch Go builds from the kernel: what was built, with which toolchain and flags, where the time went, and what came \
                  out. No flag, wrapper or environment variable of the build is changed.",
    after_help = "Examples:\n  \
                  sudo gotrace run -- go build ./...\n  \
                  sudo gotrace record -o build.gotrace -- make release\n  \
                  gotrace replay build.gotrace\n  \
                  sudo gotrace doctor",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
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
    Summary(summary::Args),
    Store(store::Args),
    Install(install::Args),
    Uninstall(install::UninstallArgs),
    #[command(hide = true)]
    StorageProcess(agent::Args),
    #[command(hide = true)]
    Itself(itself::Args),
    #[command(hide = true)]
    ReadOutput(read_output::Args),
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// Does what the arguments say; returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match parse(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data; a reader that has gone is no failure.
            let _closed = error.print();
            return match error.use_stderr() {
                false => FINE,
                true if runs_a_command(&args) => OWN_FAILURE,
                true => FAILURE,
            };
        }
    };
    match cli.word {
        Word::Run(args) => run::execute(args),
        Word::Record(args) => record::execute(args),
        Word::Agent(agent) => exit_code(agent::execute(&agent, args.into_iter().skip(2).collect())),
        Word::StorageProcess(args) => agent::execute_storage(&args),
        Word::Config(args) => exit_code(config::execute(&args)),
        Word::Replay(args) => exit_code(replay::execute(&args)),
        Word::Doctor(args) => exit_code(doctor::execute(&args)),
        Word::Analyze(args) => exit_code(analyze::execute(&args)),
        Word::Diff(args) => exit_code(diff::execute(&args)),
        Word::Builds(args) => exit_code(builds::execute(&args)),
        Word::Show(args) => exit_code(show::execute(&args)),
        Word::Summary(args) => exit_code(summary::execute(&args)),
        Word::Store(args) => exit_code(store::execute(&args)),
        Word::Install(args) => exit_code(install::execute(&args)),
        Word::Uninstall(args) => exit_code(install::execute_uninstall(&args)),
        Word::Itself(args) => itself::execute(&args),
        Word::ReadOutput(args) => read_output::execute(args),
    }
}

fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let color = if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        ColorChoice::Never
    } else {
        ColorChoice::Auto
    };
    Cli::from_arg_matches(&Cli::command().color(color).try_get_matches_from(args)?)
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
            say(format_args!("{error:#}"));
            let mut causes = error.chain();
            let setup = causes.find_map(|it| it.downcast_ref::<SetupError>());
            setup.map_or(FAILURE, SetupError::exit_code)
        }
    }
}

/// Whether the reader of our output has gone: `gotrace replay FILE | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Tells the user one thing on stderr. When stderr is closed there is nobody to tell.
fn say(sentence: impl Display) {
    let _closed = writeln!(io::stderr().lock(), "gotrace: {sentence}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn check(args: &[&str]) -> Result<Word, u8> {
        let args: Vec<OsString> = std::iter::once(&"gotrace")
            .chain(args)
            .map(OsString::from)
            .collect();
        parse(&args).map(|cli| cli.word).map_err(|_| {
            if runs_a_command(&args) {
                OWN_FAILURE
            } else {
                FAILURE
            }
        })
    }

    #[test]
    fn what_follows_the_command_is_the_commands() {
        let Ok(Word::Run(args)) = check(&[
            "run", "--quiet", "go", "build", "-o", "x", "--format", "json",
        ]) else {
            panic!("should parse")
        };
        assert_eq!(args.command, ["go", "build", "-o", "x", "--format", "json"]);
    }

    #[test]
    fn the_word_for_the_self_test_is_there() {
        assert!(check(&[crate::driver::SELF_TEST_COMMAND, "1-2"]).is_ok());
    }

    #[test]
    fn gotrace_knows_the_word_by_which_it_starts_its_child() {
        let word = crate::inspect::child::WORD;
        assert!(matches!(check(&[word, "1", "ab"]), Ok(Word::ReadOutput(_))));
        assert!(!Cli::command().render_long_help().to_string().contains(word));
    }

    #[test]
    fn the_storage_process_accepts_the_arguments_of_the_agent() {
        let word = crate::agent::STORAGE_COMMAND;
        let args = ["--keep-days", "3", "--listen", "none"];
        assert!(matches!(
            check(&[&["agent"], &args[..]].concat()),
            Ok(Word::Agent(_))
        ));
        assert!(matches!(
            check(&[&[word], &args[..]].concat()),
            Ok(Word::StorageProcess(_))
        ));
        assert!(!Cli::command().render_long_help().to_string().contains(word));
    }

    #[test]
    fn two_dashes_end_our_flags() {
        let Ok(Word::Run(args)) = check(&["run", "--", "--quiet"]) else {
            panic!("should parse")
        };
        assert_eq!(args.command, ["--quiet"]);
    }

    #[test]
    fn wrong_usage_of_run_is_not_mistaken_for_the_commands_failure() {
        assert_eq!(
            check(&["run", "--no-such-flag", "--", "true"]).unwrap_err(),
            OWN_FAILURE
        );
        assert_eq!(check(&["replay"]).unwrap_err(), FAILURE);
    }
}
