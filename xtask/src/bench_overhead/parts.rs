//! Divides the CPU time of traced builds into parts, each from a measurement of its own.
//!
//! * The kernel programs: the kernel's statistics of their run times.
//! * The traps: the CPU time of the build itself, without that of the untraced build beside it and of the kernel programs. This also
//!   contains the wake-ups of gotrace that happen in the build's processes.
//! * The loop: the CPU clock of its thread. gotrace measures the two parts of the loop by the same clock. The ring and the decoder are one
//!   part, because each record is decoded where it lies in the ring.
//! * The other threads and processes: their CPU clocks. Output readers have short lives, and the kernel reports their time in ticks.

use std::thread;
use std::time::Duration;

use ::tests::agent::Agent;
use anyhow::{Context as _, Result};

use super::bpf::Statistics;
use super::session::Snapshot;
use super::tracer::{DIVIDED, Tracer};
use super::{OverheadBench, Workload};
use crate::bench_agent::process;
use crate::measure::Spread;
use crate::shell;

const NAMES: [&str; 11] = [
    UNTRACED,
    "traps in the build",
    "kernel programs",
    "start: load and attach",
    "loop: ring and decoder",
    "loop: correlation",
    "loop: other work",
    "other threads",
    "output readers",
    "end: report",
    "storage process",
];

/// The build itself, beside a tracer's parts.
const UNTRACED: &str = "untraced build";

/// Seconds of CPU time, in the order of `NAMES`; `None` if the tracer has no such part.
type Parts = [Option<f64>; NAMES.len()];

/// The values of one moment.
struct Moment {
    gotrace: Snapshot,
    storage: f64,
    readers: f64,
    decode: f64,
    correlate: f64,
}

impl Moment {
    fn of(agent: &Agent) -> Result<Self> {
        let storage = agent.storage_process().context("no storage process")?;
        let page = agent.page("/metrics");
        let part = |name: &str| -> Result<f64> {
            let series = format!("gotrace_loop_cpu_seconds_total{{part=\"{name}\"}} ");
            let value = page.lines().find_map(|it| it.strip_prefix(&series));
            Ok(value.context("no CPU time of the loop")?.trim().parse()?)
        };
        Ok(Self {
            gotrace: Snapshot::of(agent.pid())?,
            storage: process::own(storage)?,
            readers: process::of_children(agent.pid())?,
            decode: part("decode")?,
            correlate: part("correlate")?,
        })
    }
}

/// Measures and prints the parts.
pub(super) fn run(bench: &mut OverheadBench<'_>, build: Workload, rounds: usize) -> Result<()> {
    if !shell::is_root()? {
        println!("left out: CPU time by part (needs root)");
        return Ok(());
    }
    let mut columns: Vec<Vec<Parts>> = vec![Vec::new(); DIVIDED.len()];
    for round in 0..rounds {
        for (tracer, column) in DIVIDED.into_iter().zip(&mut columns) {
            eprint!(
                "\rparts of a {} build {} of {rounds}, {}\x1b[K",
                build.name(),
                round + 1,
                tracer.name()
            );
            let mut plain = bench.session(build, Tracer::None)?;
            let untraced = plain.build()?;
            plain.end()?;
            let parts = match tracer {
                Tracer::Agent(detail) => of_agent(bench, build, detail, untraced),
                Tracer::None
                | Tracer::Control
                | Tracer::Gotrace(_)
                | Tracer::Strace
                | Tracer::PerfTrace => of_run(bench, build, tracer, untraced),
            }?;
            column.push(parts);
        }
    }
    eprint!("\r\x1b[K");
    print(build, &columns);
    Ok(())
}

fn of_run(
    bench: &mut OverheadBench<'_>,
    build: Workload,
    tracer: Tracer,
    untraced: f64,
) -> Result<Parts> {
    let statistics = Statistics::enable()?;
    let mut session = bench.session(build, tracer)?;
    let before = Snapshot::of(session.pid())?;
    let of_build = session.build()?;
    let after = Snapshot::of(session.pid())?;
    let finished = session.end()?;
    drop(statistics);
    let [decode, correlate] = ["to decode", "to correlate"].map(|it| logged(&finished.log, it));
    let (decode, correlate) = decode
        .zip(correlate)
        .context("gotrace did not log its CPU time")?;
    let programs = after.programs.seconds - before.programs.seconds;
    let of_loop = after.main - before.main;
    Ok([
        Some(untraced),
        Some(of_build - untraced - programs),
        Some(programs),
        Some(before.own),
        Some(decode),
        Some(correlate),
        Some(of_loop - decode - correlate),
        Some(after.own - before.own - of_loop),
        Some(finished.sample.cpu - finished.tracer - of_build),
        Some(finished.tracer - after.own),
        None,
    ])
}

fn of_agent(
    bench: &mut OverheadBench<'_>,
    build: Workload,
    detail: &str,
    untraced: f64,
) -> Result<Parts> {
    let statistics = Statistics::enable()?;
    let agent = super::agent(&bench.gotrace, bench.toolchain, &bench.first, detail)?;
    // The status reaches the page once a second.
    let settle = || thread::sleep(Duration::from_secs(2));
    settle();
    let mut session = bench.session(build, Tracer::None)?;
    let before = Moment::of(&agent)?;
    let of_build = session.build()?;
    session.end()?;
    agent.wait_for(&bench.module, build.n_repeats());
    settle();
    let after = Moment::of(&agent)?;
    agent.stop();
    drop(statistics);
    let programs = after.gotrace.programs.seconds - before.gotrace.programs.seconds;
    let of_loop = after.gotrace.main - before.gotrace.main;
    let (decode, correlate) = (
        after.decode - before.decode,
        after.correlate - before.correlate,
    );
    Ok([
        Some(untraced),
        Some(of_build - untraced - programs),
        Some(programs),
        None,
        Some(decode),
        Some(correlate),
        Some(of_loop - decode - correlate),
        Some(after.gotrace.own - before.gotrace.own - of_loop),
        Some(after.readers - before.readers),
        None,
        Some(after.storage - before.storage),
    ])
}

/// The milliseconds before `what` in gotrace's log, in seconds.
fn logged(log: &str, what: &str) -> Option<f64> {
    let line = log.lines().find(|it| it.contains("CPU time of gotrace"))?;
    let (before, _) = line.split_once(&format!(" ms {what}"))?;
    let (_, number) = before.rsplit_once(' ')?;
    Some(number.parse::<f64>().ok()? / 1e3)
}

fn print(build: Workload, columns: &[Vec<Parts>]) {
    let repeats = build.n_repeats();
    println!(
        "\nCPU time by part, milliseconds for each {} build (start and end: for each tracer)",
        build.name()
    );
    print!("{:<24}", "");
    for tracer in DIVIDED {
        let name = tracer.name();
        print!(
            " {:>16}",
            name.trim_start_matches("gotrace ").replace(" --detail", "")
        );
    }
    println!();
    for (n, name) in NAMES.iter().enumerate() {
        print!("{name:<24}");
        let is_once = name.starts_with("start") || name.starts_with("end");
        #[expect(clippy::cast_precision_loss, reason = "a count of builds")]
        let n_builds = if is_once { 1.0 } else { repeats as f64 };
        for column in columns {
            let values = column.iter().filter_map(|it| it.get(n).copied().flatten());
            let median = Spread::of(values.map(|it| it / n_builds)).median;
            if median.is_nan() {
                print!(" {:>16}", "-");
            } else {
                print!(" {:>16.1}", median * 1e3);
            }
        }
        println!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_in_the_log_are_parsed() {
        let log = "gotrace: note\ngotrace: CPU time of gotrace: 80.5 ms to start, 0.4 ms to decode records, 12.0 ms to correlate events\n";
        assert_eq!(logged(log, "to decode"), Some(0.0004));
        assert_eq!(logged(log, "to correlate"), Some(0.012));
        assert_eq!(logged("", "to decode"), None);
    }
}
