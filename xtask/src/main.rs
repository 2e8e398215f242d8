//! The commands of development and CI: `cargo xtask COMMAND`.
//!
//! This crate is compiled first on a new machine, so it stays small: it starts other programs and reads their output. Facts about
//! Go toolchains and test modules come from the library in `tests/`, so both install and expect the same. Nothing here is part of
//! `gotrace`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a build tool prints to the terminal"
)]

mod bench_agent;
mod bench_analyze;
mod bench_explain;
mod bench_history;
mod bench_overhead;
mod bench_owners;
mod bench_price;
mod bench_programs;
mod bench_reliability;
mod bench_usage;
mod bench_what_if;
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

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build, test and measure gotrace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the committed BPF objects in tracer-ebpf/prebuilt. Installs missing tools.
    Bpf {
        /// Only compare the committed objects with a rebuild of their sources.
        #[arg(long)]
        check: bool,
    },
    /// Install the requirements of the tests, and run all rings, including the live tests.
    Test {
        /// Run only this ring (can be repeated).
        #[arg(long, value_enum, value_name = "RING")]
        only: Vec<test::Ring>,
    },
    /// Install the requirements of the tests.
    Setup,
    /// Build gotrace, find Go or install it under target/, and trace a real build.
    Demo {
        /// Command to trace instead of the build of tests/gomods/hello.
        #[arg(last = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Rewrite the expected output of all tests, in sources and in files. Read the difference before you commit it.
    Bless,
    /// Run a benchmark. Most benchmarks print ratios with their spread and assert nothing.
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Record cold builds of the standard library. Fails if a process, argument, exit or phase is missing.
    Complete {
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// Minor version of Go.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
    /// Run a gotrace whose kernel programs log to stderr.
    KernelLog {
        /// Arguments of gotrace.
        #[arg(last = true, value_name = "ARGS", required = true)]
        args: Vec<String>,
    },
    /// Build gotrace as one static program, and a container image that contains only this program.
    Image {
        /// Name of the image.
        #[arg(long, default_value = concat!("localhost/gotrace:", env!("CARGO_PKG_VERSION")))]
        name: String,
    },
    /// Build a Debian package of gotrace.
    Deb {
        /// Package this program without a release build.
        #[arg(long, value_name = "PROGRAM")]
        of: Option<PathBuf>,
    },
    /// Trace builds on Debian's kernels, each in an emulator.
    Vm {
        /// Kernels to test, such as `6.12`, or locked down `6.12-integrity` and `6.12-confidentiality` [default: all].
        #[arg(value_name = "KERNEL")]
        kernels: Vec<String>,
    },
    /// Check house rules that the compiler does not check: dependencies, file lengths, links, and the language of documents.
    Tidy,
}

#[derive(Subcommand)]
enum Bench {
    /// Measure the cost of `gotrace agent`, and its behaviour under load.
    Agent {
        /// Run only this measurement (can be repeated).
        #[arg(long, value_enum, value_name = "PART")]
        only: Vec<bench_agent::Measurement>,
        /// Builds in the history of the idle agent.
        #[arg(long, default_value_t = 10_000)]
        builds: u64,
        /// Number of parallel builds.
        #[arg(long, default_value_t = 200)]
        parallel: usize,
        /// Duration of the storm of processes, with the agent and without it.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        storm: u64,
        /// Number of consecutive builds: by default an hour's worth at ten a minute.
        #[arg(long, value_name = "BUILDS", default_value_t = 600)]
        soak: usize,
        /// Minor version of Go.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
    /// Measure time and memory of `gotrace analyze` and of other tools on Go programs of 2 to 100 MB.
    Analyze,
    /// Check the causes that `gotrace explain` prints after known changes, with each release of Go. Fails if one is wrong.
    Explain {
        /// Minor version of Go (can be repeated) [default: all].
        #[arg(long, value_name = "VERSION")]
        go: Vec<String>,
        /// Only measure time and memory on a generated history.
        #[arg(long)]
        scale: bool,
        /// Only measure the size of keys in a history.
        #[arg(long)]
        storage: bool,
        /// Builds in the generated history.
        #[arg(long, default_value_t = 2000)]
        builds: usize,
        /// Packages of the generated module.
        #[arg(long, default_value_t = 3000)]
        packages: usize,
    },
    /// Measure the time to list and show builds of a long history, and its size.
    History {
        /// Builds in the history.
        #[arg(long, default_value_t = 10_000)]
        builds: u64,
    },
    /// Run the fault tests in their long forms, and print a table of tries and results. Takes a quarter of an hour on two cores.
    Reliability,
    /// Compare the bytes per package in `gotrace analyze` with Go's own tools, for each release and several targets.
    Owners {
        /// Minor version of Go (can be repeated) [default: all].
        #[arg(long, value_name = "VERSION")]
        go: Vec<String>,
        /// Target such as `linux/arm64` (can be repeated) [default: all].
        #[arg(long, value_name = "TARGET")]
        target: Vec<String>,
        /// Folder of a Go program to build for this machine, instead of the programs of GOROOT.
        #[arg(value_name = "FOLDER")]
        programs: Vec<PathBuf>,
    },
    /// Measure the cost of tracing for a cold, a warm and a relinking build, and for an untraced process.
    Overhead {
        /// Measurements of each build under each tracer. A round takes about ten minutes on two cores.
        #[arg(long, default_value_t = 2)]
        rounds: usize,
        /// Minor version of Go.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
        /// Default: all.
        #[arg(long, value_enum)]
        workload: Vec<bench_overhead::Workload>,
        /// Measure only the CPU time by part.
        #[arg(long)]
        parts: bool,
        /// Packages of the generated module of the workload `many`.
        #[arg(long, default_value_t = 2568)]
        packages: usize,
    },
    /// Compare the retained bytes of `gotrace explain --modules` with programs that are built without the module.
    Price {
        /// Minor version of Go.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
    /// Check `gotrace analyze` on Debian packages and wheels: modules, sizes, false alarms, time and memory.
    Programs {
        /// Debian package or project of a wheel; default: all.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Compare CPU times, peak memory and ends of processes with the results of `wait4`.
    Usage {
        /// Minor version of Go.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
    /// Build generated modules on one CPU and on two, and compare the times with the predictions of `gotrace what-if`.
    WhatIf {
        /// Generated modules.
        #[arg(long, default_value_t = 20)]
        modules: usize,
        /// Minor version of Go.
        #[arg(long, value_name = "VERSION", default_value = "1.27")]
        go: String,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Bpf { check } => bpf::bpf(check),
        Command::Test { only } => test::run(&only),
        Command::Setup => setup::for_tests(),
        Command::Bench { what } => bench(what),
        Command::Demo { command } => demo::run(&command),
        Command::Bless => bless::run(),
        Command::Complete { rounds, go } => complete::run(rounds, &go),
        Command::KernelLog { args } => kernel_log::run(&args),
        Command::Deb { of } => deb::run(of.as_deref()),
        Command::Image { name } => image::run(&name),
        Command::Tidy => tidy::run(),
        Command::Vm { kernels } => vm::run(&kernels),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(what: Bench) -> Result<()> {
    match what {
        Bench::Agent {
            only,
            builds,
            parallel,
            storm,
            soak,
            go,
        } => bench_agent::run(
            &only,
            &go,
            &bench_agent::Size {
                builds,
                parallel,
                storm: Duration::from_secs(storm),
                soak,
            },
        ),
        Bench::Analyze => bench_analyze::bench_analyze(),
        Bench::Explain {
            go,
            scale,
            storage,
            builds,
            packages,
        } => {
            if storage {
                bench_explain::storage()
            } else if scale {
                bench_explain::scale(builds, packages)
            } else {
                bench_explain::run(&go)
            }
        }
        Bench::History { builds } => bench_history::run(builds),
        Bench::Overhead {
            rounds,
            go,
            workload,
            parts,
            packages,
        } => bench_overhead::run(
            &bench_overhead::Size { rounds, packages },
            &go,
            &workload,
            parts,
        ),
        Bench::Owners {
            go,
            target,
            programs,
        } => bench_owners::run(&go, &target, &programs),
        Bench::Price { go } => bench_price::run(&go),
        Bench::Programs { names } => bench_programs::run(&names),
        Bench::Reliability => bench_reliability::run(),
        Bench::Usage { go } => bench_usage::run(&go),
        Bench::WhatIf { modules, go } => bench_what_if::run(modules, &go),
    }
}
