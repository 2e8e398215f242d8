//! The end of a process and its resource usage: converts the kernel's counters to the values that `wait4` would report.

use tracer_abi as abi;

use crate::event::{Status, Usage};

/// A wait status. A core dump is a death by signal like any other.
pub(super) fn status(status: u32) -> Status {
    let [low, code, _, _] = status.to_le_bytes();
    match low & 0x7f {
        0 => Status::Code(code),
        signal => Status::Signal(signal),
    }
}

/// The exact CPU time is known only as a sum; the user share is sampled. The kernel reports to `wait4` and `getrusage` the exact sum,
/// divided in the ratio of the samples. The whole sum is user time if no sample fell into the kernel, even without any sample. The whole
/// sum is system time if every sample did. The function is `cputime_adjust`:
/// <https://github.com/gregkh/linux/blob/v6.18.38/kernel/sched/cputime.c#L546-L621>
///
/// A machine that counts both exactly (`CONFIG_VIRT_CPU_ACCOUNTING_NATIVE`: not x86, not arm64) does not need this.
pub(super) fn usage(exit: &abi::Exit, page_size: u64) -> Usage {
    let (user_ns, system_ns) = split(exit.runtime_ns, exit.utime_ns, exit.stime_ns);
    let (exact, at_most) = peak(exit);
    let bytes = |pages: u64| pages.saturating_mul(page_size);
    Usage {
        user_ns,
        system_ns,
        max_rss_bytes: exact.map(bytes),
        max_rss_at_most_bytes: at_most.map(bytes),
        run_delay_ns: known(exit.run_delay_ns),
        block_io_ns: known(exit.block_io_ns),
        is_final: false,
    }
}

fn known(ns: u64) -> Option<u64> {
    (ns != abi::Exit::UNKNOWN).then_some(ns)
}

/// User and system time of a process that was waited for.
pub(super) fn times(reaped: &abi::Reaped) -> (u64, u64) {
    split(reaped.runtime_ns, reaped.utime_ns, reaped.stime_ns)
}

/// Largest resident set of the last program in pages: an exact value, or an upper bound. The kernel's count for the process includes the
/// address spaces that it left at its execs. These belonged to its earlier programs, and to its parent if the parent lent its own
/// (`vfork`).
fn peak(exit: &abi::Exit) -> (Option<u64>, Option<u64>) {
    let is_own = exit.max_rss_pages > exit.inherited_rss_pages;
    let own = Some(exit.own_rss_pages).filter(|it| *it > 0);
    match if is_own {
        Some(exit.max_rss_pages)
    } else {
        own
    } {
        Some(pages) => (Some(pages), None),
        None => (None, Some(exit.max_rss_pages)),
    }
}

/// User and system part of a run time.
fn split(runtime: u64, utime: u64, stime: u64) -> (u64, u64) {
    if runtime == 0 {
        // The run time is unknown on this kernel; only the samples exist.
        return (utime, stime);
    }
    if stime == 0 {
        return (runtime, 0);
    }
    let total = u128::from(utime) + u128::from(stime);
    let system = u64::try_from(u128::from(runtime) * u128::from(stime) / total).unwrap_or(runtime);
    (runtime - system.min(runtime), system.min(runtime))
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    /// Statuses of Go programs under `bash`: `exit 1`, `exit 2`, `kill -INT`, `-TERM`, `-KILL`, `-ABRT` with a core.
    #[test]
    fn statuses_are_those_of_wait() {
        for (raw, expected) in [
            (0, Status::Code(0)),
            (0x100, Status::Code(1)),
            (0x200, Status::Code(2)),
            (0xff00, Status::Code(255)),
            (0x2, Status::Signal(2)),
            (0xf, Status::Signal(15)),
            (0x9, Status::Signal(9)),
            (0x86, Status::Signal(6)),
        ] {
            assert_eq!(status(raw), expected, "{raw:#x}");
        }
    }

    #[test]
    fn run_time_is_split_as_sampled() {
        for (runtime, utime, stime, expected) in [
            (10, 0, 0, (10, 0)),
            (10, 4, 0, (10, 0)),
            (10, 0, 4, (0, 10)),
            (10, 3, 1, (8, 2)),
            (0, 3, 1, (3, 1)),
            (0, 0, 0, (0, 0)),
            (
                u64::MAX,
                u64::MAX,
                u64::MAX,
                (u64::MAX / 2 + 1, u64::MAX / 2),
            ),
            (1, u64::MAX, 1, (1, 0)),
        ] {
            assert_eq!(
                split(runtime, utime, stime),
                expected,
                "{runtime} {utime} {stime}"
            );
        }
    }

    /// Pages of the whole process, at its last exec, and of the address space at its end; then the exact pages of the program, and the
    /// bound.
    #[test]
    fn memory_is_that_of_the_last_program() {
        for (all, inherited, own, is, at_most) in [
            (9, 5, 0, Some(9), None),
            (9, 5, 9, Some(9), None),
            // The process grew, and the address space at its end shows less.
            (9, 5, 7, Some(9), None),
            (9, 9, 3, Some(3), None),
            (9, 9, 0, None, Some(9)),
            (9, u64::MAX, 3, Some(3), None),
            (9, u64::MAX, 0, None, Some(9)),
        ] {
            let exit = abi::Exit {
                max_rss_pages: all,
                inherited_rss_pages: inherited,
                own_rss_pages: own,
                ..abi::Exit::new_zeroed()
            };
            assert_eq!(peak(&exit), (is, at_most), "{all} {inherited} {own}");
        }
    }
}
