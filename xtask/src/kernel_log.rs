//! `cargo xtask kernel-log`: gotrace with kernel programs that say what they do, for who works on them.
//!
//! Its object is built with the feature `log` of `tracer-ebpf` and is never committed: the words cost instructions in every program.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::{bpf, shell};

/// Runs `gotrace ARGS`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    shell::run(shell::as_root(build()?)?.args(args))
}

/// Demands that the words come, of the processes of a command that gotrace runs, wherever the object can be built.
pub(crate) fn check() -> Result<()> {
    if !bpf::can_build() {
        println!("kernel programs that talk could not be built here, so they were not tried");
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
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success()
        || !said.contains("kernel: exec of")
        || !said.contains("kernel: fork of")
    {
        bail!(
            "kernel programs that were built to talk do not: {}: {said}",
            output.status
        );
    }
    println!("kernel programs that were built to talk do");
    Ok(())
}

fn build() -> Result<PathBuf> {
    let object = bpf::with_words()?;
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
    // Its place is that of the usual one.
    let dir = shell::target().join("kernel-log");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let gotrace = dir.join("gotrace");
    fs::copy(shell::target().join("debug/gotrace"), &gotrace).context("cannot copy gotrace")?;
    Ok(gotrace)
}
