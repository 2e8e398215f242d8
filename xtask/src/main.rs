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

mod bench_agent;
mod bench_analyze;
mod bench_history;
mod bench_overhead;
mod bench_owners;
mod bench_programs;
mod bench_reliability;
mod bench_usage;
mod bless;
mod bpf;
mod child;
mod complete;
mod deb;
mod demo;
mod download;
mod fuzz;
mod image;
mod kernel_log;
mod measure;
mod setup;
mod shell;
mod test;
mod tidy;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    /// Build the BPF objects that are committed in tracer-ebpf/prebuilt, installing what that takes.
    Bpf {
        /// Only compare what is committed with what its sources give.
        #[arg(long)]
        check: bool,
    },
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
    /// Measure. Prints ratios with their spread; nothing is asserted.
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Record a cold build of the standard library many times and demand that no process, argument, exit or phase is missing.
    Complete {
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// Minor version of the Go that builds.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
    /// Run a gotrace whose kernel programs say on stderr what they do.
    KernelLog {
        /// What gotrace is to do.
        #[arg(last = true, value_name = "ARGS", required = true)]
        args: Vec<String>,
    },
    /// Build gotrace as one static program, and an image for containers with nothing else in it.
    Image {
        /// Name of the image.
        #[arg(long, default_value = concat!("localhost/gotrace:", env!("CARGO_PKG_VERSION")))]
        name: String,
    },
    /// Build a Debian package of gotrace.
    Deb {
        /// Put this program into it, packed in a hurry, instead of a release that is built for it.
        #[arg(long, value_name = "PROGRAM")]
        of: Option<PathBuf>,
    },
    /// Trace builds on Debian's kernels, each in an emulator.
    Vm {
        /// Only these: `6.12`, or locked down `6.12-integrity` and `6.12-confidentiality`.
        #[arg(value_name = "KERNEL")]
        kernels: Vec<String>,
    },
    /// Check what the compiler does not: the direction of dependencies, the length of files, links and names in the documents.
    Tidy,
}

#[derive(Subcommand)]
enum Bench {
    /// What `gotrace agent` costs, and whether it keeps up.
    Agent {
        /// Measure this alone; may be given several times.
        #[arg(long, value_enum, value_name = "PART")]
        only: Vec<bench_agent::Part>,
        /// Builds in the history of the idle agent.
        #[arg(long, default_value_t = 10_000)]
        builds: u64,
        /// Builds at once.
        #[arg(long, default_value_t = 200)]
        crowd: usize,
        /// Length of the storm of processes, with the agent and without.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        storm: u64,
        /// Builds one after another: an hour's worth at ten a minute.
        #[arg(long, value_name = "BUILDS", default_value_t = 600)]
        soak: usize,
        /// Minor version of the Go that builds.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
    /// Time and memory of `gotrace analyze` on Go programs of 2 to 100 MB, beside other tools on the same files.
    Analyze,
    /// Time to list and show builds of a long history, and its size.
    History {
        /// How many builds it has.
        #[arg(long, default_value_t = 10_000)]
        builds: u64,
    },
    /// Faults and hostile neighbours, in the long forms of the tests: one table of what was tried and what came of it. Takes a quarter of
    /// an hour on two cores.
    Reliability,
    /// Bytes at the right package by `gotrace analyze`, beside Go's own tools, for each release and several targets.
    Owners {
        /// Minor version of a Go that builds; may be given several times. All without it.
        #[arg(long, value_name = "VERSION")]
        go: Vec<String>,
        /// Target such as `linux/arm64`; may be given several times. All without it.
        #[arg(long, value_name = "TARGET")]
        target: Vec<String>,
        /// Folder of a Go program to build for this machine, instead of the programs of GOROOT.
        #[arg(value_name = "FOLDER")]
        programs: Vec<PathBuf>,
    },
    /// What tracing costs a cold, a warm and a relinking build, and a process that is not traced.
    Overhead {
        /// How often each build is measured under each tracer. A round takes some four minutes on two cores.
        #[arg(long, default_value_t = 2)]
        rounds: usize,
        /// Minor version of the Go that builds.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
    /// Checks of `gotrace analyze` on programs that others built, Debian packages and wheels: modules, sizes, false alarms, time and
    /// memory.
    Programs {
        /// Debian package or project of a wheel; all without it.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// CPU time, peak memory and end of processes, beside what the kernel told their parent.
    Usage {
        /// Minor version of the Go that builds.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().word {
        Word::Bpf { check } => bpf::bpf(check),
        Word::Test { only } => test::run(&only),
        Word::Setup => setup::for_tests(),
        Word::Demo { command } => demo::run(&command),
        Word::Bless => bless::run(),
        Word::Bench {
            what:
                Bench::Agent {
                    only,
                    builds,
                    crowd,
                    storm,
                    soak,
                    go,
                },
        } => bench_agent::run(
            &only,
            &go,
            &bench_agent::Size {
                builds,
                crowd,
                storm: Duration::from_secs(storm),
                soak,
            },
        ),
        Word::Bench {
            what: Bench::Analyze,
        } => bench_analyze::bench_analyze(),
        Word::Bench {
            what: Bench::History { builds },
        } => bench_history::run(builds),
        Word::Bench {
            what: Bench::Overhead { rounds, go },
        } => bench_overhead::run(rounds, &go),
        Word::Bench {
            what:
                Bench::Owners {
                    go,
                    target,
                    programs,
                },
        } => bench_owners::run(&go, &target, &programs),
        Word::Bench {
            what: Bench::Programs { names },
        } => bench_programs::run(&names),
        Word::Bench {
            what: Bench::Reliability,
        } => bench_reliability::run(),
        Word::Bench {
            what: Bench::Usage { go },
        } => bench_usage::run(&go),
        Word::Complete { rounds, go } => complete::run(rounds, &go),
        Word::KernelLog { args } => kernel_log::run(&args),
        Word::Deb { of } => deb::run(of.as_deref()),
        Word::Image { name } => image::run(&name),
        Word::Tidy => tidy::run(),
        Word::Vm { kernels } => vm::run(&kernels),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
