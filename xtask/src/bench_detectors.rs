//! `cargo xtask bench detectors`: recall, precision and delay of the detectors that judge a build.
//!
//! The example `detectors` of `tracer-core/` contains the benchmark, so that xtask does not depend on the core. Nothing is asserted.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;

pub(crate) fn run(seed: Option<u64>, series: Option<&Path>) -> Result<()> {
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "tracer-core",
        "--example",
        "detectors",
    ]))?;
    let mut bench = Command::new(shell::target().join("release/examples/detectors"));
    if let Some(seed) = seed {
        bench.args(["--seed", &seed.to_string()]);
    }
    if let Some(series) = series {
        let here = env::current_dir().context("cannot read the current directory")?;
        bench.arg("--series").arg(here.join(series));
    }
    shell::run(&mut bench)
}
