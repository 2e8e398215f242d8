//! Runs hundreds of consecutive builds: an hour's worth without the pauses. Memory and open files must not grow with them.

use std::fs;

use anyhow::{Context as _, Result};

use super::AgentBench;
use super::idle::megabytes;

/// Rows in the table.
const ROWS: usize = 6;

pub(crate) fn run(bench: &AgentBench, n: usize) -> Result<()> {
    let agent = bench.agent(&[])?;
    let module = bench.module("tiny");
    println!("{n} consecutive builds, one in four links:");
    println!(
        "{:>8} {:>14} {:>12} {:>12}",
        "builds", "resident", "open files", "threads"
    );
    let count = |what: &str| -> Result<usize> {
        let count = |pid: u32| -> Result<usize> {
            let dir = format!("/proc/{pid}/{what}");
            let listed = fs::read_dir(&dir).with_context(|| format!("cannot read {dir}"))?;
            Ok(listed.count())
        };
        agent.processes().into_iter().map(count).sum()
    };
    for i in 0..=n {
        if i % (n / ROWS).max(1) == 0 {
            agent.wait_for(&module, i.min(900));
            println!(
                "{i:>8} {:>11.1} MB {:>12} {:>12}",
                megabytes(agent.resident_kb()),
                count("fd")?,
                count("task")?
            );
        }
        if i % 4 == 0 {
            module.write(
                "change.go",
                &format!("package main\n\nfunc init() {{ println({i}) }}\n"),
            );
        }
        bench.build(&module)?;
    }
    agent.stop();
    Ok(())
}
