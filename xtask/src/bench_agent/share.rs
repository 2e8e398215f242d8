//! Measures the agent's CPU time as a share of a build's. `bench overhead` measures the cost of the probes inside the kernel.

use anyhow::Result;

use super::{AgentBench, process};
use crate::measure::{Spread, children_cpu};

const ROUNDS: usize = 3;

pub(crate) fn run(bench: &AgentBench) -> Result<()> {
    for detail in ["phase", "cache-key"] {
        let agent = bench.agent(&["--detail", detail])?;
        let module = bench.module("hello");
        let mut shares = Vec::new();
        for round in 0..ROUNDS {
            module.sandbox.make_cold();
            let (own, all) = (process::cpu(&agent)?, children_cpu()?);
            bench.build(&module)?;
            let build = children_cpu()? - all;
            // Includes the work after the build: analysis and storage.
            agent.wait_for(&module, round + 1);
            shares.push((process::cpu(&agent)? - own) / build);
        }
        println!(
            "cold build of tests/gomods/hello, --detail {detail}: the agent uses {} of its CPU time",
            Spread::of(shares.into_iter()).percent()
        );
        agent.stop();
    }
    Ok(())
}
