//! CPU time of an agent and of the children that read outputs for it: its own by the kernel's clock of it, which is exact, theirs by
//! the ticks of /proc, ten milliseconds each.

use std::fs;
use std::io;
use std::mem::MaybeUninit;

use anyhow::{Context as _, Result};
use tests::agent::Agent;

/// Seconds of CPU that the agent has used and those of its children that are gone.
pub(crate) fn cpu(agent: &Agent) -> Result<f64> {
    let own: Result<f64> = agent.parts().into_iter().map(own).sum();
    Ok(own? + of_children(agent)?)
}

/// Of children that were waited for: fields 16 and 17 of `stat`, counted from the end of the name, which may hold anything.
fn of_children(agent: &Agent) -> Result<f64> {
    /// Of `USER_HZ`, which is the same for every architecture that is built for.
    const TICKS_A_SECOND: f64 = 100.0;
    let path = format!("/proc/{}/stat", agent.pid());
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
    let mut ticks = fields.split_whitespace().skip(13);
    let mut next = || -> Result<f64> { Ok(ticks.next().context("too few fields")?.parse()?) };
    Ok((next()? + next()?) / TICKS_A_SECOND)
}

/// All threads of a part of it, those that are gone included.
fn own(pid: u32) -> Result<f64> {
    let pid = libc::pid_t::try_from(pid).context("the agent's id")?;
    let mut clock = MaybeUninit::<libc::clockid_t>::uninit();
    // SAFETY: the pointer is valid for writing a clock id.
    let failed = unsafe { libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed)).context("the agent has no clock");
    }
    // SAFETY: the call above succeeded, so it wrote the id.
    let clock = unsafe { clock.assume_init() };
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is valid for writing a `timespec`.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error()).context("the agent's clock cannot be read");
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
