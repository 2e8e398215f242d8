//! CPU time of the kernel programs of a process, from the kernel's own statistics.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

// From `include/uapi/linux/bpf.h`.
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_ENABLE_STATS: libc::c_long = 32;

/// The kernel measures each run of a program while this exists. That costs about 0.1 µs a run.
pub(super) struct Statistics(
    #[expect(dead_code, reason = "closing it ends the statistics")] OwnedFd,
);

impl Statistics {
    pub(super) fn enable() -> Result<Self> {
        // The type of statistics: run times.
        let fd = call(BPF_ENABLE_STATS, &[0]);
        fd.map(Self)
            .context("cannot enable the statistics of kernel programs (needs root and Linux 5.8)")
    }
}

/// The total of all programs that a process has loaded or attached.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunTime {
    pub(super) seconds: f64,
    pub(super) n: u64,
}

/// Reads the total of the programs of a process. Programs that only a perf event holds are not visible.
pub(super) fn run_time(pid: u32) -> Result<RunTime> {
    let dir = format!("/proc/{pid}/fdinfo");
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {dir}"))? {
        // A descriptor can be closed meanwhile.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        ids.extend(field(&text, "prog_id:").and_then(|it| u32::try_from(it).ok()));
    }
    let mut total = RunTime::default();
    for id in ids {
        // A program can be unloaded meanwhile.
        let Ok(program) = call(BPF_PROG_GET_FD_BY_ID, &[id, 0, 0]) else {
            continue;
        };
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
        let ns = field(&info, "run_time_ns:").context("the kernel does not count run times")?;
        #[expect(clippy::cast_precision_loss, reason = "a time far below 2^52 ns")]
        let seconds = ns as f64 / 1e9;
        total.seconds += seconds;
        total.n += field(&info, "run_cnt:").unwrap_or(0);
    }
    Ok(total)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|it| it.strip_prefix(name))?;
    value.trim().parse().ok()
}

/// A command whose attribute is these words, and that returns a descriptor.
fn call(command: libc::c_long, attribute: &[u32]) -> io::Result<OwnedFd> {
    let size = size_of_val(attribute);
    // SAFETY: the kernel reads at most `size` bytes of the attribute, which contains no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_ptr(), size) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: both commands return a new descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
