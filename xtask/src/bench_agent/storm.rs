//! Forks, executes and ends untraced processes as fast as possible during Go builds. Measures lost records of the builds, and the
//! slowdown of the storm.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{AgentBench, process};

/// Turns with and without the agent, so that drift of the machine affects both.
const TURNS: u32 = 3;

/// Processes, builds and duration of a turn.
#[derive(Default)]
struct Turn {
    processes: u64,
    builds: usize,
    seconds: f64,
}

pub(crate) fn run(bench: &AgentBench, length: Duration) -> Result<()> {
    let module = bench.module("tiny");
    let (mut alone, mut watched) = (Turn::default(), Turn::default());
    let (mut lost, mut complaints, mut own) = (0, Vec::new(), 0.0);
    for _ in 0..TURNS {
        add(&mut alone, &storm(bench, &module, length / TURNS)?);
        let agent = bench.agent(&[])?;
        let before = process::cpu(&agent)?;
        let turn = storm(bench, &module, length / TURNS)?;
        let builds = agent.wait_for(&module, turn.builds);
        own += process::cpu(&agent)? - before;
        lost += sum(&agent.page("/metrics"), "gotrace_events_lost_total{");
        complaints.extend(builds.iter().filter(|it| it["anomalies"] != 0).map(|it| {
            format!(
                "{} has {} gaps, {} lost",
                it["command_line"], it["anomalies"], it["lost"]
            )
        }));
        if builds.len() != turn.builds {
            complaints.push(format!("{} of {} builds", builds.len(), turn.builds));
        }
        add(&mut watched, &turn);
        agent.stop();
    }
    let [without, with] = [&alone, &watched].map(rate);
    println!(
        "storm of /bin/true on all CPUs beside builds, {:.0} s each:\n\
         {without:.0} processes a second without the agent, {with:.0} with it (ratio {:.3});\n\
         builds {} and {}; the agent used {:.2} % of a CPU",
        watched.seconds,
        with / without,
        alone.builds,
        watched.builds,
        own / watched.seconds * 100.0
    );
    println!(
        "{} records lost; {} builds with gaps or not in the history",
        lost,
        complaints.len()
    );
    if lost == 0 && !complaints.is_empty() {
        bail!(
            "no record was lost, but builds have gaps or are missing:\n{}",
            complaints.join("\n")
        );
    }
    Ok(())
}

fn add(sum: &mut Turn, turn: &Turn) {
    sum.processes += turn.processes;
    sum.builds += turn.builds;
    sum.seconds += turn.seconds;
}

#[expect(clippy::cast_precision_loss, reason = "a count of processes")]
fn rate(turn: &Turn) -> f64 {
    turn.processes as f64 / turn.seconds
}

fn storm(bench: &AgentBench, module: &tests::Module, length: Duration) -> Result<Turn> {
    let has_ended = AtomicBool::new(false);
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads)
            .map(|_| {
                scope.spawn(|| -> Result<u64> {
                    let mut n = 0;
                    while !has_ended.load(Ordering::Relaxed) {
                        let mut command = Command::new("/bin/true");
                        command
                            .stdin(Stdio::null())
                            .status()
                            .context("cannot run /bin/true")?;
                        n += 1;
                    }
                    Ok(n)
                })
            })
            .collect();
        let mut turn = Turn::default();
        while began.elapsed() < length {
            // A changed main package causes one compilation and one link.
            module.write(
                "change.go",
                &format!(
                    "package main\n\nfunc init() {{ println({}) }}\n",
                    began.elapsed().as_nanos()
                ),
            );
            bench.build(module)?;
            turn.builds += 1;
        }
        has_ended.store(true, Ordering::Relaxed);
        turn.seconds = began.elapsed().as_secs_f64();
        for thread in threads {
            match thread.join() {
                Ok(n) => turn.processes += n?,
                Err(_) => bail!("a thread of the storm panicked"),
            }
        }
        Ok(turn)
    })
}

/// Sum of all series of a metric family.
fn sum(page: &str, family: &str) -> u64 {
    let series = page.lines().filter(|it| it.starts_with(family));
    let values = series.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}
