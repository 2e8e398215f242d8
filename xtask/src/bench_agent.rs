//! `cargo xtask bench agent`: measures the cost of an idle agent, its share of a build's CPU time, and its behaviour under load.
//!
//! Times are medians, or shares of the processes that ran at the same time. The command fails and lists the builds if the history
//! lacks any.

mod idle;
mod parallel;
pub(crate) mod process;
mod share;
mod soak;
mod storm;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use tempfile::TempDir;
use tests::agent::Agent;
use tests::{Module, Toolchain};

use crate::{setup, shell};

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// CPU and memory without builds, and the metrics page over a long history.
    Idle,
    /// The agent's CPU time as a share of a cold build's.
    Share,
    /// Many small builds at once: checks that each is recorded with its parent and output.
    Parallel,
    /// Builds beside untraced processes that are forked as fast as possible.
    Storm,
    /// Hundreds of builds: shows whether memory stays constant.
    Soak,
}

/// Sizes of the measurements.
pub(crate) struct Size {
    /// Builds in the history of the idle agent.
    pub(crate) builds: u64,
    /// Builds at once.
    pub(crate) parallel: usize,
    /// Duration of the storm with the agent, and again without it.
    pub(crate) storm: Duration,
    /// Consecutive builds.
    pub(crate) soak: usize,
}

struct AgentBench {
    gotrace: PathBuf,
    toolchain: Toolchain,
}

pub(crate) fn run(measurements: &[Measurement], go: &str, size: &Size) -> Result<()> {
    if !shell::is_root()? {
        bail!("cannot measure the agent: tracing needs root (run as root)");
    }
    let bench = AgentBench {
        gotrace: shell::gotrace()?,
        toolchain: {
            setup::minor(go)?;
            tests::toolchain(go)
        },
    };
    let all = Measurement::value_variants();
    let measurements = if measurements.is_empty() {
        all
    } else {
        measurements
    };
    for measurement in measurements {
        match measurement {
            Measurement::Idle => idle::run(&bench, size.builds)?,
            Measurement::Share => share::run(&bench)?,
            Measurement::Parallel => parallel::run(&bench, size.parallel)?,
            Measurement::Storm => storm::run(&bench, size.storm)?,
            Measurement::Soak => soak::run(&bench, size.soak)?,
        }
    }
    Ok(())
}

impl AgentBench {
    /// Starts an agent with an empty history, which has already probed the toolchain.
    fn agent(&self, args: &[&str]) -> Result<Agent> {
        let dir = TempDir::new().context("cannot make a temporary directory")?;
        let agent = Agent::start_as(Command::new(&self.gotrace), dir, args);
        // A toolchain is probed at its first use.
        let module = self.module("tiny");
        self.build(&module)?;
        agent.wait_for(&module, 1);
        Ok(agent)
    }

    /// A module whose build cache contains the standard library.
    fn module(&self, name: &str) -> Module {
        let module = Module::copy(name);
        module.sandbox.make_warm(&self.toolchain);
        module
    }

    fn build(&self, module: &Module) -> Result<()> {
        let mut go = module.go(&self.toolchain, &["build", "-o"]);
        shell::read(go.arg(module.sandbox.out().join("program")).arg("."))?;
        Ok(())
    }
}
