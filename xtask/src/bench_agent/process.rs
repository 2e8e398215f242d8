//! CPU time of an agent and of its children that read outputs. The agent's time comes from the kernel's CPU clock and is exact. The
//! children's times come from /proc in ticks of ten milliseconds.

use std::fs;
use std::io;
use std::mem::MaybeUninit;

use anyhow::{Context as _, Result};
use tests::agent::Agent;

/// CPU seconds of the agent and its ended children.
pub(crate) fn cpu(agent: &Agent) -> Result<f64> {
    let own: Result<f64> = agent.processes().into_iter().map(own).sum();
    Ok(own? + of_children(agent)?)
}

/// CPU seconds of reaped children: fields 16 and 17 of `stat`, counted from the end of the name, which can contain any character.
fn of_children(agent: &Agent) -> Result<f64> {
    /// `USER_HZ`, which is the same for every supported architecture.
    const TICKS_A_SECOND: f64 = 100.0;
    let path = format!("/proc/{}/stat", agent.pid());
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (_, fields) = stat.rsplit_once(')').context("no process name in stat")?;
    let mut ticks = fields.split_whitespace().skip(13);
    let mut next =
        || -> Result<f64> { Ok(ticks.next().context("too few fields in stat")?.parse()?) };
    Ok((next()? + next()?) / TICKS_A_SECOND)
}

/// CPU seconds of all threads of a process, including ended ones.
fn own(pid: u32) -> Result<f64> {
    let pid = libc::pid_t::try_from(pid).context("the agent's id")?;
    let mut clock = MaybeUninit::<libc::clockid_t>::uninit();
    // SAFETY: the pointer is valid for writing a clock id.
    let failed = unsafe { libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed))
            .context("cannot find the agent's CPU clock");
    }
    // SAFETY: the call above succeeded, so it wrote the id.
    let clock = unsafe { clock.assume_init() };
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is valid for writing a `timespec`.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot read the agent's CPU clock");
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
