//! Wall and CPU time of a command with its waited-for descendants, and the spread of samples.

use std::io;
use std::mem::MaybeUninit;
use std::ops::AddAssign;

use anyhow::{Context as _, Result};

/// Times in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) wall: f64,
    /// User time plus system time.
    pub(crate) cpu: f64,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "a count of builds")]
    pub(crate) fn divided_by(self, n: usize) -> Self {
        Self {
            wall: self.wall / n as f64,
            cpu: self.cpu / n as f64,
        }
    }
}

impl AddAssign for Sample {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// Makes this process the parent of orphaned descendants. `perf trace` does not wait for its command, whose CPU time would
/// otherwise be lost.
pub(crate) fn adopt_orphans() -> Result<()> {
    // SAFETY: this option takes a number and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot become a subreaper");
    }
    Ok(())
}

/// Reaps ended orphans. Called when no other child runs.
pub(crate) fn reap_orphans() {
    // SAFETY: a null status pointer is allowed, because the status is not needed.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// CPU seconds of all reaped children and of their reaped descendants.
pub(crate) fn children_cpu() -> Result<f64> {
    cpu_of(libc::RUSAGE_CHILDREN)
}

/// CPU seconds of the calling thread.
pub(crate) fn own_cpu() -> Result<f64> {
    cpu_of(libc::RUSAGE_THREAD)
}

fn cpu_of(whose: libc::c_int) -> Result<f64> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is valid for writing a `rusage`.
    if unsafe { libc::getrusage(whose, usage.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error()).context("getrusage");
    }
    // SAFETY: the call above succeeded, so it filled the structure.
    let usage = unsafe { usage.assume_init() };
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of CPU time fit a float many times over"
)]
pub(crate) fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

/// Median, minimum and maximum.
pub(crate) struct Spread {
    pub(crate) median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (lower, upper) = (values.len().saturating_sub(1) / 2, values.len() / 2);
        Self {
            median: f64::midpoint(at(lower), at(upper)),
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }

    pub(crate) fn seconds(&self) -> String {
        format!("{:.3} s ({:.3}..{:.3})", self.median, self.min, self.max)
    }

    pub(crate) fn microseconds(&self) -> String {
        format!("{:.1} µs ({:.1}..{:.1})", self.median, self.min, self.max)
    }

    pub(crate) fn milliseconds(&self) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(|it| it * 1e3);
        format!("{median:.1} ms ({min:.1}..{max:.1})")
    }

    pub(crate) fn percent(&self) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(|it| it * 100.0);
        format!("{median:.2} % ({min:.2}..{max:.2})")
    }

    pub(crate) fn ratio(&self) -> String {
        format!("{:.3} ({:.3}..{:.3})", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0].into_iter()).ratio(),
            "2.000 (1.000..3.000)"
        );
        assert_eq!(
            Spread::of([4.0, 1.0].into_iter()).seconds(),
            "2.500 s (1.000..4.000)"
        );
    }
}
