//! Many small builds at once.

use std::time::Instant;

use anyhow::{Result, bail};
use tests::crowd::{Crowd, Judgement};

use super::idle::megabytes;
use super::{Bench, process};
use crate::measure::children_cpu;

pub(crate) fn run(bench: &Bench, n: usize) -> Result<()> {
    let crowd = Crowd::new(&bench.toolchain, n);
    let agent = bench.agent(&[])?;
    let (own, all, began) = (process::cpu(&agent)?, children_cpu()?, Instant::now());
    crowd.run(&bench.toolchain);
    let (wall, cpu) = (began.elapsed().as_secs_f64(), children_cpu()? - all);
    let builds = agent.wait_for(crowd.module(), crowd.n_builds());
    let own = process::cpu(&agent)? - own;
    println!(
        "{n} builds at once, {} including those below `go generate`: {} in the history, {wall:.1} s, {cpu:.1} s of CPU and {own:.2} s \
         ({:.2} %) of the agent's, {:.1} MB resident",
        crowd.n_builds(),
        builds.len(),
        own / cpu * 100.0,
        megabytes(agent.resident_kb())
    );
    let Judgement { told, wrong, .. } = crowd.judge(&builds);
    agent.stop();
    if told > 0 || !wrong.is_empty() {
        bail!(
            "{told} builds report gaps; {} are wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
    println!("every build is stored once and complete, with its parent and the output on disk");
    Ok(())
}
