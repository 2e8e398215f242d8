//! CPU time of a process that is not ours, exact: the kernel's clock of it, not the ticks of /proc.

use std::io;
use std::mem::MaybeUninit;

use anyhow::{Context as _, Result};
use tests::agent::Agent;

/// Seconds of CPU that all threads of the agent have used, those that are gone included.
pub(crate) fn cpu(agent: &Agent) -> Result<f64> {
    let pid = libc::pid_t::try_from(agent.pid()).context("the agent's id")?;
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
