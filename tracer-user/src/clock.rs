//! All reads of clocks. The core reads no clock.

use rustix::time::{ClockId, Timespec, clock_gettime};
use tracer_core::event::Ktime;

const READINGS: u32 = 5;

/// The current time on the clock of the records.
pub(crate) fn boot() -> Ktime {
    Ktime(boot_ns())
}

/// The current time on the clock of the records, in nanoseconds.
pub(crate) fn boot_ns() -> u64 {
    u64::try_from(ns(ClockId::Boottime)).unwrap_or(0)
}

/// Wall-clock time minus boot clock.
pub(crate) fn boot_to_wall_ns() -> i64 {
    // Read the wall clock between two readings of the boot clock. The shortest of several attempts was not interrupted.
    let read = |_| {
        let before = ns(ClockId::Boottime);
        let wall = ns(ClockId::Realtime);
        let after = ns(ClockId::Boottime);
        (after - before, wall - before.midpoint(after))
    };
    let shortest = (0..READINGS).map(read).min_by_key(|(took, _)| *took);
    shortest.map_or(0, |(_, difference)| difference)
}

/// Wall-clock time in nanoseconds since 1970.
pub(crate) fn wall_ns() -> i64 {
    ns(ClockId::Realtime)
}

/// CPU time of this process, in nanoseconds.
pub(crate) fn own_cpu_ns() -> u64 {
    u64::try_from(ns(ClockId::ProcessCPUTime)).unwrap_or(0)
}

/// CPU time of this thread, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    u64::try_from(ns(ClockId::ThreadCPUTime)).unwrap_or(0)
}

fn ns(clock: ClockId) -> i64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    tv_sec * 1_000_000_000 + tv_nsec
}
