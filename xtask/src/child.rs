//! Time and peak memory of single runs of a program.
//!
//! The kernel counts the memory of the parent as the child's, because the child begins as a copy of it (`setmax_mm_hiwater_rss` in
//! `exec_mmap`). So the caller keeps itself small until all is measured: it reads no file as a whole.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::measure;

/// One run of a tool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// Of all its threads, in the kernel too.
    pub(crate) cpu: f64,
    /// Peak resident memory in KiB.
    pub(crate) peak: i64,
}

/// Reads a file once, so that no program pays for the disk.
pub(crate) fn warm(file: &Path) -> Result<()> {
    let describe = || format!("cannot read {}", file.display());
    let mut open = File::open(file).with_context(describe)?;
    io::copy(&mut open, &mut io::sink()).with_context(describe)?;
    Ok(())
}

/// Median times, and the largest peak.
pub(crate) fn median(runs: &[Run]) -> Run {
    let of = |time: fn(&Run) -> f64| {
        let mut times: Vec<_> = runs.iter().map(time).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Run {
        seconds: of(|run| run.seconds),
        cpu: of(|run| run.cpu),
        peak: runs.iter().map(|run| run.peak).max().unwrap_or(0),
    }
}

/// Runs to the end, with its output thrown away.
pub(crate) fn run(command: &mut Command) -> Result<Run> {
    let began = Instant::now();
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot be started")?;
    let id = libc::pid_t::try_from(child.id()).context("a process id that is none")?;
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    let mut status = 0;
    // SAFETY: `id` is a child, no other code waits for it, and both pointers are valid for writing.
    let waited = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
    if waited != id {
        return Err(io::Error::last_os_error()).context("wait4");
    }
    let seconds = began.elapsed().as_secs_f64();
    if libc::WIFSIGNALED(status) {
        bail!("killed by signal {}", libc::WTERMSIG(status));
    }
    // SAFETY: the call above succeeded, so it filled the structure.
    let usage = unsafe { usage.assume_init() };
    Ok(Run {
        seconds,
        cpu: measure::seconds(usage.ru_utime) + measure::seconds(usage.ru_stime),
        peak: usage.ru_maxrss,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a file's size is far below 2^52"
)]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
pub(crate) fn mebibytes(kibibytes: i64) -> f64 {
    kibibytes as f64 / 1024.0
}
