//! `cargo xtask bench overhead`: measures the cost of tracing for a build.
//!
//! Every round runs each build untraced and under each tracer, in a rotating order. Each time is compared with the untraced build
//! of the same round, so slow drift of the machine affects all equally. A second untraced build gives the noise; smaller
//! differences have no meaning. Times are wall time, and CPU time of all processes, including the tracer.

mod storm;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::Value;
use tempfile::TempDir;
use tests::agent::Agent;
use tests::{Module, Toolchain};

use crate::bench_agent::process;
use crate::measure::{Sample, Spread, adopt_orphans, measure};
use crate::{setup, shell};

/// A command to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// No build: the cost of a tracer before the command starts and after it ends.
    None,
    /// A build with an empty cache: hundreds of compilations.
    Cold,
    /// A build without changes: the `go` command only.
    Warm,
    /// A build with a changed main package: one compilation and one link.
    Relink,
    /// Untraced processes beside the tracer.
    Storm,
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Relink => "relink",
            Self::Storm => "storm",
        }
    }

    /// Builds in one sample, all under one tracer, because the tracer's start is measured separately.
    fn n_repeats(self) -> usize {
        match self {
            Self::None | Self::Cold | Self::Storm => 1,
            Self::Warm => 20,
            Self::Relink => 10,
        }
    }

    /// Script for `sh`. Its arguments are the number of repeats, a number unique to the sample, and the command of one build.
    fn script(self) -> &'static str {
        match self {
            Self::None | Self::Storm => "exit 0",
            Self::Cold | Self::Warm => {
                r#"n=$1; shift 2; while [ $n -gt 0 ]; do "$@" || exit 1; n=$((n - 1)); done"#
            }
            // A changed comment would give the same package and no link.
            Self::Relink => {
                r#"n=$1 new=$2; shift 2; while [ $n -gt 0 ]; do
                    echo "package main; func init() { println($new, $n) }" > change.go
                    "$@" || exit 1; n=$((n - 1)); done"#
            }
        }
    }
}

/// The tracer of a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracer {
    None,
    /// The second untraced build, which measures the noise.
    Control,
    /// `gotrace run --detail LEVEL`.
    Gotrace(&'static str),
    /// `gotrace agent --detail LEVEL`, which runs before the sample begins and has probed the toolchain.
    Agent(&'static str),
    Strace,
    PerfTrace,
}

impl Tracer {
    fn name(self) -> String {
        match self {
            Self::None => "nothing".into(),
            Self::Control => "nothing, again".into(),
            Self::Gotrace(detail) => format!("gotrace run --detail {detail}"),
            Self::Agent(detail) => format!("gotrace agent --detail {detail}"),
            Self::Strace => "strace -f -e trace=execve".into(),
            Self::PerfTrace => "perf trace -e execve".into(),
        }
    }

    /// The first part of the command line; the tracer writes to a file in `scratch`.
    fn command(self, gotrace: &Path, scratch: &Path) -> Result<Option<Command>> {
        let command = match self {
            Self::None | Self::Control | Self::Agent(_) => return Ok(None),
            Self::Gotrace(detail) => {
                let mut command = shell::as_root(gotrace)?;
                // `--strict` fails an untraced build, whose times would be too low.
                command.args([
                    "run", "--strict", "--quiet", "--format", "json", "--detail", detail, "-o",
                ]);
                command.arg(scratch.join("gotrace.json"));
                command
            }
            Self::Strace => {
                let mut command = Command::new("strace");
                command
                    .args(["-f", "-qq", "-e", "trace=execve", "-o"])
                    .arg(scratch.join("strace.txt"));
                command
            }
            Self::PerfTrace => {
                let mut command = Command::new("perf");
                command
                    .args(["trace", "-e", "execve", "-o"])
                    .arg(scratch.join("perf.txt"));
                command
            }
        };
        Ok(Some(command))
    }
}

pub(crate) fn run(rounds: usize, minor: &str, workloads: &[Workload]) -> Result<()> {
    if rounds == 0 {
        bail!("cannot measure 0 rounds: set --rounds to at least 1");
    }
    adopt_orphans()?;
    setup::minor(minor)?;
    let gotrace = shell::gotrace()?;
    let toolchain = tests::toolchain(minor);
    let tracers = tracers()?;
    let mut bench = OverheadBench {
        gotrace: &gotrace,
        toolchain: &toolchain,
        module: Module::copy("hello"),
        n_samples: 0,
    };
    let all = Workload::value_variants();
    let workloads = if workloads.is_empty() { all } else { workloads };
    for &build in workloads {
        if build == Workload::Storm {
            storm::run(&gotrace, rounds)?;
            continue;
        }
        let rows = bench.rounds(build, &tracers, rounds)?;
        print_build(build, &toolchain, rounds, &rows);
        // In a longer build, the noise exceeds the cost of the calls.
        if build == Workload::Warm {
            print_call_cost(&rows);
        }
    }
    Ok(())
}

/// Tracers that can run here; prints the others.
fn tracers() -> Result<Vec<Tracer>> {
    let mut tracers = vec![
        Tracer::None,
        Tracer::Control,
        Tracer::Gotrace("process"),
        Tracer::Gotrace("phase"),
        Tracer::Gotrace("cache-key"),
        Tracer::Agent("phase"),
        Tracer::Agent("cache-key"),
    ];
    if shell::find("strace").is_some() {
        tracers.push(Tracer::Strace);
    } else {
        println!("left out: strace (not installed)");
    }
    if !shell::is_root()? {
        println!("left out: perf trace (needs root)");
    } else if shell::succeeds(Command::new("perf").args(["trace", "-e", "execve", "--", "true"])) {
        tracers.push(Tracer::PerfTrace);
    } else {
        println!("left out: perf trace (does not run here)");
    }
    Ok(tracers)
}

struct OverheadBench<'a> {
    gotrace: &'a Path,
    toolchain: &'a Toolchain,
    module: Module,
    n_samples: usize,
}

impl OverheadBench<'_> {
    fn rounds(&mut self, build: Workload, tracers: &[Tracer], n: usize) -> Result<Vec<Row>> {
        if matches!(build, Workload::Warm | Workload::Relink) {
            // Fills the cache and leaves an up-to-date output.
            self.module.sandbox.make_warm(self.toolchain);
            self.sample(build, Tracer::None)?;
        }
        let row = |tracer: &Tracer| Row {
            tracer: *tracer,
            samples: Vec::new(),
            n_calls: Vec::new(),
        };
        let mut rows: Vec<Row> = tracers.iter().map(row).collect();
        for round in 0..n {
            for turn in 0..rows.len() {
                let n_rows = rows.len();
                let Some(row) = rows.get_mut((round + turn) % n_rows) else {
                    continue;
                };
                eprint!(
                    "\r{} build {} of {n}, {}\x1b[K",
                    build.name(),
                    round + 1,
                    row.tracer.name()
                );
                row.samples.push(self.sample(build, row.tracer)?);
                if matches!(row.tracer, Tracer::Gotrace(_)) {
                    row.n_calls.push(self.n_calls(build)?);
                }
            }
        }
        eprint!("\r\x1b[K");
        Ok(rows)
    }

    fn sample(&mut self, build: Workload, tracer: Tracer) -> Result<Sample> {
        if build == Workload::Cold {
            self.module.sandbox.make_cold();
        }
        self.n_samples += 1;
        let scratch = self.module.sandbox.out();
        let mut command = match tracer.command(self.gotrace, &scratch)? {
            None => Command::new("sh"),
            Some(mut command) => {
                command.args(["--", "sh"]);
                command
            }
        };
        let env: Vec<(OsString, OsString)> = self.module.sandbox.env(self.toolchain);
        command.args(["-c", build.script(), "sh"]);
        command.args([build.n_repeats(), self.n_samples].map(|it| it.to_string()));
        command
            .arg(&self.toolchain.go)
            .args(["build", "-o"])
            .arg(scratch.join("hello"))
            .arg(".");
        command.current_dir(self.module.dir()).env_clear().envs(env);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let sample = match tracer {
            Tracer::Agent(detail) => self.measure_beside_agent(&mut command, build, detail),
            Tracer::None
            | Tracer::Control
            | Tracer::Gotrace(_)
            | Tracer::Strace
            | Tracer::PerfTrace => measure(&mut command),
        };
        let sample =
            sample.with_context(|| format!("cannot measure a build under {}", tracer.name()))?;
        Ok(sample.divided_by(build.n_repeats()))
    }

    /// Measures a command beside an agent. The CPU time includes that of the agent and its readers until the history contains the builds.
    fn measure_beside_agent(
        &self,
        command: &mut Command,
        build: Workload,
        detail: &str,
    ) -> Result<Sample> {
        let dir = TempDir::new().context("cannot make a temporary directory")?;
        let gotrace = Command::new(self.gotrace);
        let agent = Agent::start_as(gotrace, dir, &["--detail", detail]);
        // A toolchain is probed at its first use.
        let tiny = Module::copy("tiny");
        tiny.sandbox.make_warm(self.toolchain);
        shell::read(
            tiny.go(self.toolchain, &["build", "-o"])
                .arg(tiny.sandbox.out().join("program"))
                .arg("."),
        )?;
        agent.wait_for(&tiny, 1);
        let before = process::cpu(&agent)?;
        let mut sample = measure(command)?;
        if build != Workload::None {
            agent.wait_for(&self.module, build.n_repeats());
        }
        sample.cpu += process::cpu(&agent)? - before;
        agent.stop();
        Ok(sample)
    }

    /// Calls of probed functions for each build, as gotrace counted them in its last sample.
    fn n_calls(&self, build: Workload) -> Result<f64> {
        let trace: Value = tests::read_json(&self.module.sandbox.out().join("gotrace.json"));
        let n_calls = trace.pointer("/events/calls").and_then(Value::as_f64);
        let n_calls = n_calls.context("gotrace's JSON does not count calls")?;
        #[expect(clippy::cast_precision_loss, reason = "a count of builds")]
        let n_builds = build.n_repeats() as f64;
        Ok(n_calls / n_builds)
    }
}

/// Samples under one tracer, by round.
struct Row {
    tracer: Tracer,
    samples: Vec<Sample>,
    n_calls: Vec<f64>,
}

fn row(rows: &[Row], tracer: Tracer) -> Option<&Row> {
    rows.iter().find(|it| it.tracer == tracer)
}

fn print_build(build: Workload, toolchain: &Toolchain, n: usize, rows: &[Row]) {
    let Some(plain) = row(rows, Tracer::None) else {
        return;
    };
    let (name, repeats) = (build.name(), build.n_repeats());
    println!(
        "\n{name} build of tests/gomods/hello, Go {}: {n} rounds, {repeats} builds under one tracer",
        toolchain.version
    );
    println!("{:<32} {:^28} {:^28}", "", "wall time", "CPU time");
    println!(
        "{:<32} {:>28} {:>28}",
        "", "median (min..max)", "median (min..max)"
    );
    for Row {
        tracer, samples, ..
    } in rows
    {
        let [wall, cpu] = [|it: &Sample| it.wall, |it: &Sample| it.cpu].map(|time| {
            if *tracer == Tracer::None || build == Workload::None {
                Spread::of(samples.iter().map(time)).seconds()
            } else {
                Spread::of(
                    samples
                        .iter()
                        .zip(&plain.samples)
                        .map(|(it, plain)| time(it) / time(plain)),
                )
                .ratio()
            }
        });
        println!("{:<32} {wall:>28} {cpu:>28}", tracer.name());
    }
}

/// Prints CPU time for each probed call: the difference between all probes and none, divided by the delivered calls. The difference
/// includes the cost of calls that the kernel side filters by name.
fn print_call_cost(rows: &[Row]) {
    let (Some(without), Some(with)) = (
        row(rows, Tracer::Gotrace("process")),
        row(rows, Tracer::Gotrace("cache-key")),
    ) else {
        return;
    };
    let pairs = with.samples.iter().zip(&without.samples).zip(&with.n_calls);
    let cost = Spread::of(pairs.map(|((with, without), n)| (with.cpu - without.cpu) / n * 1e6));
    let n_calls = Spread::of(with.n_calls.iter().copied());
    println!(
        "CPU time of a probed call: {} over {:.0} calls a build",
        cost.microseconds(),
        n_calls.median
    );
}
