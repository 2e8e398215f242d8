//! Every word CI says: `cargo xtask WORD`.
//!
//! This crate is compiled first on a fresh machine, so it stays small: it starts other programs and reads what they print. What a
//! word needs to know about Go toolchains and test modules comes from the library in `tests/`, so both install and expect the same.
//! Nothing here is part of `gotrace`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a build tool talks to the terminal"
)]

mod bless;
mod demo;
mod setup;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The words of gotrace's build, tests and measurements.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Install what the tests need and run them all, the live ones included.
    Test {
        /// Run this ring alone; may be given several times.
        #[arg(long, value_enum, value_name = "RING")]
        only: Vec<test::Ring>,
    },
    /// Install what the tests need, and nothing else.
    Setup,
    /// Build gotrace, find Go or install one under target/, and trace a real build.
    Demo {
        /// A command to trace instead of the build of tests/gomods/hello.
        #[arg(last = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Rewrite the expected output of every test that keeps it in a file or in its source. Read the difference before committing it.
    Bless,
    /// Check what the compiler does not: the direction of dependencies, the length of files, links and names in the documents.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Args::parse().word {
        Word::Test { only } => test::run(&only),
        Word::Setup => setup::for_tests(),
        Word::Demo { command } => demo::run(&command),
        Word::Bless => bless::run(),
        Word::Tidy => tidy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
