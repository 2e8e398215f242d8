//! Measures an agent without builds: its CPU and memory, and the speed of its pages over a long history.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tests::agent::Agent;

use super::{AgentBench, process};
use crate::bench_history;
use crate::measure::Spread;

const QUIET: Duration = Duration::from_mins(1);
const ROUNDS: usize = 30;

pub(crate) fn run(bench: &AgentBench, n_builds: u64) -> Result<()> {
    let dir = TempDir::new().context("cannot make a temporary directory")?;
    bench_history::fill(&dir.path().join("history"), n_builds)?;
    let store = dir.path().join("history/history.db");
    std::fs::rename(&store, dir.path().join("history.db")).context("cannot move the history")?;
    let agent = Agent::start_as(Command::new(&bench.gotrace), dir, &[]);
    // Waits until the agent's startup work has ended.
    thread::sleep(Duration::from_secs(5));
    let (cpu, began) = (process::cpu(&agent)?, Instant::now());
    thread::sleep(QUIET);
    let share = (process::cpu(&agent)? - cpu) / began.elapsed().as_secs_f64();
    println!(
        "idle, {n_builds} builds in the history: {:.3} % of a CPU over {} s, {:.1} MB resident",
        share * 100.0,
        QUIET.as_secs(),
        megabytes(agent.resident_kb())
    );
    for path in ["/metrics", "/api/v1/builds", "/-/ready"] {
        let mut size = 0;
        let times: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let began = Instant::now();
                size = agent.page(path).len();
                began.elapsed().as_secs_f64()
            })
            .collect();
        let spread = Spread::of(times.into_iter());
        println!("{path}: {} ({size} bytes)", spread.milliseconds());
    }
    println!(
        "after {ROUNDS} of each: {:.1} MB resident",
        megabytes(agent.resident_kb())
    );
    agent.stop();
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn megabytes(kb: u64) -> f64 {
    kb as f64 * 1024.0 / 1e6
}
