//! `cargo xtask bench overhead`: measures the cost of tracing for a build.
//!
//! Every sample under a tracer has an untraced sample directly beside it, before or after it in turns, and is compared with that one
//! alone. So drift of the machine and other programs affect both. A second untraced build in place of a tracer gives the noise; smaller
//! differences have no meaning. Times are wall time, and CPU time of all processes, including the tracer.
//!
//! Further samples divide the CPU time into parts. They are separate, because the kernel's statistics of its programs cost time themselves.

mod bpf;
mod many;
mod parts;
mod session;
mod storm;
mod tracer;
mod workload;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use serde_json::Value;
use tempfile::TempDir;
use tests::agent::Agent;
use tests::{Module, Toolchain};

use crate::bench_agent::process;
use crate::measure::{Sample, Spread, adopt_orphans};
use crate::{setup, shell};
use session::{Finished, Session};
use tracer::Tracer;
pub(crate) use workload::Workload;

/// The size of the measurements.
pub(crate) struct Size {
    /// Pairs of samples under each tracer.
    pub(crate) rounds: usize,
    /// Packages of the generated module.
    pub(crate) packages: usize,
}

pub(crate) fn run(
    size: &Size,
    minor: &str,
    workloads: &[Workload],
    parts_only: bool,
) -> Result<()> {
    let rounds = size.rounds;
    if rounds == 0 {
        bail!("cannot measure 0 rounds: set --rounds to at least 1");
    }
    adopt_orphans()?;
    setup::minor(minor)?;
    let toolchain = tests::toolchain(minor);
    let mut bench = OverheadBench {
        gotrace: shell::gotrace()?,
        module: Module::copy("hello"),
        first: Module::copy("tiny"),
        toolchain: &toolchain,
        n_samples: 0,
    };
    let tracers = if parts_only {
        Vec::new()
    } else {
        tracer::all()?
    };
    let all = Workload::value_variants();
    let workloads = if workloads.is_empty() { all } else { workloads };
    for &build in workloads {
        match build {
            Workload::Storm => storm::run(&bench.gotrace, rounds)?,
            Workload::Many => many::run(&bench.gotrace, &toolchain, size.packages)?,
            Workload::None | Workload::Cold | Workload::Warm | Workload::Relink => {
                bench.prepare(build)?;
                let rows = bench.rounds(build, &tracers, rounds)?;
                print_build(build, &toolchain, rounds, &rows);
                // In a longer build, the noise exceeds the cost of the calls.
                if build == Workload::Warm {
                    print_call_cost(&rows);
                }
                if build != Workload::None {
                    parts::run(&mut bench, build, rounds)?;
                }
            }
        }
    }
    Ok(())
}

struct OverheadBench<'a> {
    gotrace: PathBuf,
    toolchain: &'a Toolchain,
    module: Module,
    /// Built once under each agent, which probes a toolchain at its first use.
    first: Module,
    n_samples: usize,
}

impl OverheadBench<'_> {
    /// Fills the caches and leaves an up-to-date output.
    fn prepare(&mut self, build: Workload) -> Result<()> {
        self.first.sandbox.make_warm(self.toolchain);
        if matches!(build, Workload::Warm | Workload::Relink) {
            self.module.sandbox.make_warm(self.toolchain);
            self.sample(build, Tracer::None)?;
        }
        Ok(())
    }

    fn rounds(&mut self, build: Workload, tracers: &[Tracer], n: usize) -> Result<Vec<Row>> {
        let row = |tracer: &Tracer| Row {
            tracer: *tracer,
            plain: Vec::new(),
            samples: Vec::new(),
            n_calls: Vec::new(),
        };
        let mut rows: Vec<Row> = tracers.iter().map(row).collect();
        for round in 0..n {
            for row in &mut rows {
                eprint!(
                    "\r{} build {} of {n}, {}\x1b[K",
                    build.name(),
                    round + 1,
                    row.tracer.name()
                );
                let is_first = round % 2 == 0;
                if is_first {
                    row.plain.push(self.sample(build, Tracer::None)?);
                }
                row.samples.push(self.sample(build, row.tracer)?);
                if matches!(row.tracer, Tracer::Gotrace(_)) {
                    row.n_calls.push(self.n_calls(build)?);
                }
                if !is_first {
                    row.plain.push(self.sample(build, Tracer::None)?);
                }
            }
        }
        eprint!("\r\x1b[K");
        Ok(rows)
    }

    fn sample(&mut self, build: Workload, tracer: Tracer) -> Result<Sample> {
        let measured = match tracer {
            Tracer::Agent(detail) => self.beside_agent(build, detail, |session, _| {
                session.build()?;
                Ok(())
            }),
            Tracer::None
            | Tracer::Control
            | Tracer::Gotrace(_)
            | Tracer::Strace
            | Tracer::PerfTrace => self.session(build, tracer).and_then(|mut session| {
                session.build()?;
                Ok(session.end()?.sample)
            }),
        };
        let sample =
            measured.with_context(|| format!("cannot measure a build under {}", tracer.name()))?;
        Ok(sample.divided_by(build.n_repeats()))
    }

    /// Starts the script of a workload under a tracer that is a command.
    fn session(&mut self, build: Workload, tracer: Tracer) -> Result<Session> {
        if build == Workload::Cold {
            self.module.sandbox.make_cold();
        }
        self.n_samples += 1;
        let scratch = self.module.sandbox.out();
        let mut command = match tracer.command(&self.gotrace, &scratch)? {
            None => Command::new("sh"),
            Some(mut command) => {
                command.args(["--", "sh"]);
                command
            }
        };
        let env: Vec<(OsString, OsString)> = self.module.sandbox.env(self.toolchain);
        command.args(["-c", &build.script(), "sh"]);
        command.args([build.n_repeats(), self.n_samples].map(|it| it.to_string()));
        command
            .arg(&self.toolchain.go)
            .args(["build", "-o"])
            .arg(scratch.join("hello"))
            .arg(".");
        command.current_dir(self.module.dir()).env_clear().envs(env);
        Session::start(&mut command, &scratch)
    }

    /// Runs `measured` beside an agent. The CPU time includes that of the agent and its readers until the history contains the builds.
    fn beside_agent(
        &mut self,
        build: Workload,
        detail: &str,
        measured: impl FnOnce(&mut Session, &Agent) -> Result<()>,
    ) -> Result<Sample> {
        let agent = agent(&self.gotrace, self.toolchain, &self.first, detail)?;
        let before = process::cpu(&agent)?;
        let mut session = self.session(build, Tracer::None)?;
        measured(&mut session, &agent)?;
        let Finished { mut sample, .. } = session.end()?;
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

/// An agent that has probed the toolchain.
fn agent(gotrace: &Path, toolchain: &Toolchain, first: &Module, detail: &str) -> Result<Agent> {
    let dir = TempDir::new().context("cannot make a temporary directory")?;
    let agent = Agent::start_as(Command::new(gotrace), dir, &["--detail", detail]);
    shell::read(
        first
            .go(toolchain, &["build", "-o"])
            .arg(first.sandbox.out().join("program"))
            .arg("."),
    )?;
    agent.wait_for(first, 1);
    Ok(agent)
}

/// Samples under one tracer, by round.
struct Row {
    tracer: Tracer,
    /// The untraced samples beside them.
    plain: Vec<Sample>,
    samples: Vec<Sample>,
    n_calls: Vec<f64>,
}

fn row(rows: &[Row], tracer: Tracer) -> Option<&Row> {
    rows.iter().find(|it| it.tracer == tracer)
}

fn print_build(build: Workload, toolchain: &Toolchain, n: usize, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let (name, repeats) = (build.name(), build.n_repeats());
    println!(
        "\n{name} build of tests/gomods/hello, Go {}: {n} pairs, {repeats} builds under one tracer",
        toolchain.version
    );
    println!("{:<32} {:^28} {:^28}", "", "wall time", "CPU time");
    println!(
        "{:<32} {:>28} {:>28}",
        "", "median (min..max)", "median (min..max)"
    );
    let times = [|it: &Sample| it.wall, |it: &Sample| it.cpu];
    let plain = || rows.iter().flat_map(|it| &it.plain);
    let [wall, cpu] = times.map(|time| Spread::of(plain().map(time)).seconds());
    println!("{:<32} {wall:>28} {cpu:>28}", Tracer::None.name());
    for Row {
        tracer,
        plain,
        samples,
        ..
    } in rows
    {
        let pairs = || samples.iter().zip(plain);
        let [wall, cpu] = times.map(|time| {
            if build == Workload::None {
                Spread::of(samples.iter().map(time)).seconds()
            } else {
                Spread::of(pairs().map(|(it, plain)| time(it) / time(plain))).ratio()
            }
        });
        println!("{:<32} {wall:>28} {cpu:>28}", tracer.name());
    }
}

/// Prints CPU time for each probed call: what all probes add and no probes do not, divided by the delivered calls. It includes the cost
/// of calls that the kernel side filters by name.
fn print_call_cost(rows: &[Row]) {
    let (Some(without), Some(with)) = (
        row(rows, Tracer::Gotrace("process")),
        row(rows, Tracer::Gotrace("cache-key")),
    ) else {
        return;
    };
    let added = |row: &Row| -> Vec<f64> {
        let pairs = row.samples.iter().zip(&row.plain);
        pairs.map(|(it, plain)| it.cpu - plain.cpu).collect()
    };
    let pairs = added(with).into_iter().zip(added(without));
    let costs = pairs.zip(&with.n_calls);
    let cost = Spread::of(costs.map(|((with, without), n)| (with - without) / n * 1e6));
    let n_calls = Spread::of(with.n_calls.iter().copied());
    println!(
        "CPU time of a probed call: {} over {:.0} calls a build",
        cost.microseconds(),
        n_calls.median
    );
}
