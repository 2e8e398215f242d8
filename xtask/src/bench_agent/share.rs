//! What of a build's CPU time the agent takes for itself. What the probes cost the build inside the kernel is `bench overhead`'s.

use anyhow::Result;

use super::{Bench, process};
use crate::measure::{Spread, children_cpu};

const ROUNDS: usize = 3;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    for detail in ["phase", "cache-key"] {
        let agent = bench.agent(&["--detail", detail])?;
        let module = bench.module("hello");
        let mut shares = Vec::new();
        for round in 0..ROUNDS {
            module.sandbox.make_cold();
            let (own, all) = (process::cpu(&agent)?, children_cpu()?);
            bench.build(&module)?;
            let build = children_cpu()? - all;
            // Also what it does when the build is over: analysing, storing.
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
