//! `cargo xtask kernel-log`: runs a gotrace whose kernel programs log, for their development.
//!
//! Its object has the feature `log` of `tracer-ebpf` and is never committed, because logging costs instructions in every program.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::{bpf, shell};

/// Runs `gotrace ARGS`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    shell::run(shell::as_root(build()?)?.args(args))
}

/// Checks that the kernel programs log the processes of a traced command, on machines that can build the object.
pub(crate) fn check() -> Result<()> {
    if !bpf::can_build() {
        println!("cannot build logging kernel programs here: not tested");
        return Ok(());
    }
    let mut command = shell::as_root(build()?)?;
    let output = command
        .args([
            "run",
            "--strict",
            "--quiet",
            "--",
            "sh",
            "-c",
            "/bin/true; exit 0",
        ])
        .output()
        .context("cannot run gotrace")?;
    let printed = String::from_utf8_lossy(&output.stderr);
    if !output.status.success()
        || !printed.contains("kernel: exec of")
        || !printed.contains("kernel: fork of")
    {
        bail!(
            "logging kernel programs did not log an exec and a fork: {}: {printed}",
            output.status
        );
    }
    println!("logging kernel programs log execs and forks");
    Ok(())
}

fn build() -> Result<PathBuf> {
    let object = bpf::with_logging()?;
    let mut cargo = shell::cargo();
    cargo
        .args([
            "build",
            "--package",
            "tracer-user",
            "--features",
            "kernel-log",
        ])
        .env("GOTRACE_KERNEL_LOG_OBJECT", object);
    shell::run(&mut cargo)?;
    // Copied, because the usual build writes to the same path.
    let dir = shell::target().join("kernel-log");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let gotrace = dir.join("gotrace");
    fs::copy(shell::target().join("debug/gotrace"), &gotrace).context("cannot copy gotrace")?;
    Ok(gotrace)
}
