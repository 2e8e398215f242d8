//! Many small builds at once.

use std::time::Instant;

use anyhow::{Result, bail};
use tests::parallel_builds::{Comparison, ParallelBuilds};

use super::idle::megabytes;
use super::{AgentBench, process};
use crate::measure::children_cpu;

pub(crate) fn run(bench: &AgentBench, n: usize) -> Result<()> {
    let parallel = ParallelBuilds::new(&bench.toolchain, n);
    let agent = bench.agent(&[])?;
    let (own, all, began) = (process::cpu(&agent)?, children_cpu()?, Instant::now());
    parallel.run(&bench.toolchain);
    let (wall, cpu) = (began.elapsed().as_secs_f64(), children_cpu()? - all);
    let builds = agent.wait_for(parallel.module(), parallel.n_builds());
    let own = process::cpu(&agent)? - own;
    println!(
        "{n} builds at once, {} including those below `go generate`: {} in the history, {wall:.1} s, {cpu:.1} s of CPU\n\
         the agent: {own:.2} s of CPU ({:.2} %), {:.1} MB resident",
        parallel.n_builds(),
        builds.len(),
        own / cpu * 100.0,
        megabytes(agent.resident_kb())
    );
    let Comparison {
        reported, wrong, ..
    } = parallel.compare(&builds);
    agent.stop();
    if reported > 0 || !wrong.is_empty() {
        bail!(
            "{reported} builds report gaps; {} are wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
    println!("every build is stored once and complete, with its parent and the output on disk");
    Ok(())
}
