//! CPU time of an agent or another process, and of its children that read outputs. The process's time comes from the kernel's CPU clock and is exact. The
//! children's times come from /proc in ticks of ten milliseconds.

use std::fs;
use std::io;
use std::mem::MaybeUninit;

use anyhow::{Context as _, Result};
use tests::agent::Agent;

/// CPU seconds of the agent and its ended children.
pub(crate) fn cpu(agent: &Agent) -> Result<f64> {
    let own: Result<f64> = agent.processes().into_iter().map(own).sum();
    Ok(own? + of_children(agent.pid())?)
}

/// CPU seconds of reaped children: fields 16 and 17 of `stat`, counted from the end of the name, which can contain any character.
pub(crate) fn of_children(pid: u32) -> Result<f64> {
    /// `USER_HZ`, which is the same for every supported architecture.
    const TICKS_A_SECOND: f64 = 100.0;
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (_, fields) = stat.rsplit_once(')').context("no process name in stat")?;
    let mut ticks = fields.split_whitespace().skip(13);
    let mut next =
        || -> Result<f64> { Ok(ticks.next().context("too few fields in stat")?.parse()?) };
    Ok((next()? + next()?) / TICKS_A_SECOND)
}

/// CPU seconds of all threads of a process, including ended ones. The process may have ended, but not be reaped.
pub(crate) fn own(pid: u32) -> Result<f64> {
    let pid = libc::pid_t::try_from(pid).context("the process's id")?;
    let mut clock = MaybeUninit::<libc::clockid_t>::uninit();
    // SAFETY: the pointer is valid for writing a clock id.
    let failed = unsafe { libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed))
            .context("cannot find a process's CPU clock");
    }
    // SAFETY: the call above succeeded, so it wrote the id.
    let clock = unsafe { clock.assume_init() };
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is valid for writing a `timespec`.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot read a process's CPU clock");
    }
    // SAFETY: the call above succeeded, so it filled the structure.
    let time = unsafe { time.assume_init() };
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of CPU time fit a float many times over"
    )]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    Ok(seconds)
}

/// CPU seconds of the first thread of a process.
pub(crate) fn main_thread(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/task/{pid}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ns = text
        .split_whitespace()
        .next()
        .context("schedstat is empty")?;
    Ok(ns.parse::<f64>()? / 1e9)
}

/// Peak resident memory of a process, in bytes.
pub(crate) fn peak(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kib = line.and_then(|it| it.split_whitespace().next());
    Ok(kib.context("no peak memory in status")?.parse::<u64>()? * 1024)
}
