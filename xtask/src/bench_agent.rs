//! `cargo xtask bench agent`: what the agent costs while nothing happens, what of a build's CPU time it takes for itself, and whether
//! it keeps up when much happens at once.
//!
//! Times are medians, or shares of what ran beside them. What is missing in the history is named, and is a failure.

mod crowd;
mod idle;
mod process;
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

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// CPU and memory while nothing is built, and the metrics page over a long history.
    Idle,
    /// CPU time of the agent as a share of a cold build's.
    Share,
    /// Many small builds at once: are all recorded, with their parents and outputs?
    Crowd,
    /// Processes that are none of its business, forked as fast as the machine can, beside builds.
    Storm,
    /// Hundreds of builds: does memory stay flat?
    Soak,
}

/// How much of it.
pub(crate) struct Size {
    /// In the history of the idle agent.
    pub(crate) builds: u64,
    /// At once.
    pub(crate) crowd: usize,
    /// With the agent, and as many without.
    pub(crate) storm: Duration,
    /// One after another.
    pub(crate) soak: usize,
}

struct Bench {
    gotrace: PathBuf,
    toolchain: Toolchain,
}

pub(crate) fn run(parts: &[Part], go: &str, size: &Size) -> Result<()> {
    if !shell::is_root()? {
        bail!("an agent needs root: run as root");
    }
    let bench = Bench {
        gotrace: shell::gotrace()?,
        toolchain: {
            setup::minor(go)?;
            tests::toolchain(go)
        },
    };
    let all = Part::value_variants();
    let parts = if parts.is_empty() { all } else { parts };
    for part in parts {
        match part {
            Part::Idle => idle::run(&bench, size.builds)?,
            Part::Share => share::run(&bench)?,
            Part::Crowd => crowd::run(&bench, size.crowd)?,
            Part::Storm => storm::run(&bench, size.storm)?,
            Part::Soak => soak::run(&bench, size.soak)?,
        }
    }
    Ok(())
}

impl Bench {
    /// An agent with an empty history, that knows the toolchain already.
    fn agent(&self, args: &[&str]) -> Result<Agent> {
        let dir = TempDir::new().context("cannot make a temporary directory")?;
        let agent = Agent::start_as(Command::new(&self.gotrace), dir, args);
        // From its first use on a toolchain has probes.
        let module = self.module("tiny");
        self.build(&module)?;
        agent.wait_for(&module, 1);
        Ok(agent)
    }

    /// A module whose build cache has the standard library.
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
