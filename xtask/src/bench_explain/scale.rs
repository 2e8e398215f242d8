//! Time and memory of `gotrace explain` on a generated history: the example `history` of `tests/` writes it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell;

const ROUNDS: usize = 5;

pub(crate) fn run(n_builds: usize, n_packages: usize) -> Result<()> {
    let gotrace = shell::gotrace()?;
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "tests",
        "--example",
        "history",
    ]))?;
    let dir = shell::target().join("bench-explain");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let store = dir.join("history.db");
    let recording = shell::root().join("tests/recordings/build-go1.27.jsonl.gz");
    let began = Instant::now();
    let mut fill = Command::new(shell::target().join("release/examples/history"));
    fill.arg("keys").arg(&store);
    fill.args([n_builds.to_string(), n_packages.to_string()]);
    shell::run(fill.arg(recording))?;
    let bytes = fs::metadata(&store).context("no history")?.len();
    println!(
        "{n_builds} builds of {n_packages} packages: {} MB; {:.0} s to store them",
        bytes / 1_000_000,
        began.elapsed().as_secs_f64()
    );
    let mut list = Command::new(&gotrace);
    list.args(["builds", "--format", "json", "--limit", "2", "--store"]);
    let list: Value = serde_json::from_str(&shell::read(list.arg(&store))?)?;
    println!(
        "{:<22} {:>8} {:>10} {:>12}",
        "gotrace explain of", "actions", "slowest", "peak memory"
    );
    for (n, name) in ["a wide change", "a change"].into_iter().enumerate() {
        let id = list
            .pointer(&format!("/builds/{n}/id"))
            .and_then(Value::as_str);
        let id = id.context("the history has too few builds")?;
        let mut json = Command::new(&gotrace);
        json.args(["explain", "--format", "json", id, "--store"]);
        let explained: Value = serde_json::from_str(&shell::read(json.arg(&store))?)?;
        let actions = explained
            .pointer("/explanation/actions")
            .and_then(Value::as_array);
        let mut slowest = 0.0_f64;
        let mut peak = 0;
        for _ in 0..ROUNDS {
            let (seconds, kb) = measure(&gotrace, id, &store)?;
            slowest = slowest.max(seconds);
            peak = peak.max(kb);
        }
        println!(
            "{name:<22} {:>8} {slowest:>8.2} s {:>9} MB",
            actions.map_or(0, Vec::len),
            peak / 1000
        );
    }
    Ok(())
}

/// Seconds, and peak memory in kB.
fn measure(gotrace: &Path, id: &str, store: &Path) -> Result<(f64, i64)> {
    let began = Instant::now();
    let child = Command::new(gotrace)
        .args(["explain", id, "--store"])
        .arg(store)
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run gotrace")?;
    let (status, usage) = wait(child.id())?;
    if status != 0 {
        bail!("`gotrace explain {id}` failed");
    }
    Ok((began.elapsed().as_secs_f64(), usage.ru_maxrss))
}

/// Waits for a child; returns its status and usage.
fn wait(pid: u32) -> Result<(i32, libc::rusage)> {
    let pid = libc::pid_t::try_from(pid)?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: both pointers are valid for writing, and the process is an unreaped child of this one.
    if unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } != pid {
        return Err(std::io::Error::last_os_error()).context("wait4");
    }
    // SAFETY: the call above succeeded, so it filled the structure.
    Ok((status, unsafe { usage.assume_init() }))
}
