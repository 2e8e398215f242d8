//! Records of the end of a process.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// The last thread of a process exits. Times are those until now: the memory of the process is still to be freed (since Linux 6.16, all of
/// it).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// The process.
    pub header: Header,
    /// User time of all threads as the kernel sampled it, nanoseconds; coarse (ticks) on most kernels.
    pub utime_ns: u64,
    /// System time, likewise.
    pub stime_ns: u64,
    /// Time that all threads spent on a CPU, nanoseconds; exact. `getrusage` divides this in the ratio of the two above.
    pub runtime_ns: u64,
    /// Largest resident set of the process, in pages, as `getrusage` reports it. It includes the programs that the process ran before.
    pub max_rss_pages: u64,
    /// The same at the last exec: the value of the programs before. All ones: unknown.
    pub inherited_rss_pages: u64,
    /// Largest resident set of the current address space. Zero on kernels that have removed it by now (until Linux 6.15).
    pub own_rss_pages: u64,
    /// Status as `wait` reports it: signal in the low 7 bits, 0x80 for a core dump, exit code in the next 8.
    pub status: u32,
    /// Threads whose times were added here, in addition to those that the kernel had already added.
    pub threads: u32,
    /// Time that all threads waited for a CPU although they could run, nanoseconds. [`Exit::UNKNOWN`] if the kernel does not keep it.
    pub run_delay_ns: u64,
    /// Time that all threads waited for block devices, nanoseconds. [`Exit::UNKNOWN`] without delay accounting.
    pub block_io_ns: u64,
    /// Not zero if the kernel's out-of-memory killer has chosen this process. It can choose one that ends for another reason.
    pub is_oom_victim: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Exit>() == 112);

impl Exit {
    /// A time that the kernel does not keep, or that could not be read for one of the threads.
    pub const UNKNOWN: u64 = u64::MAX;
}

/// The parent has waited for a process, and the kernel releases it: its final times. The header names that process. CPU and thread are
/// those that run the release.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reaped {
    /// The process.
    pub header: Header,
    /// As in [`Exit`].
    pub utime_ns: u64,
    /// As in [`Exit`].
    pub stime_ns: u64,
    /// As in [`Exit`].
    pub runtime_ns: u64,
    /// The time at which its parent was notified of its end (`SIGCHLD`), on the clock of [`Header::ktime_ns`]. Zero: the parent was not
    /// notified.
    pub ended_ns: u64,
    /// As in [`Exit`].
    pub is_oom_victim: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Reaped>() == 72);
