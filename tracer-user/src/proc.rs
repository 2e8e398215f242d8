//! The few facts that gotrace reads from `/proc`: parents, start times, and settings of a process. Events come from the kernel only.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::iter;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tracer_core::event::{ProcKey, Tgid};

use crate::clock;

/// The environment variables of a process at its start, in order.
pub(crate) type Env = Vec<(OsString, OsString)>;

/// Part of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub comm: Vec<u8>,
    /// `T`: stopped by a signal.
    pub state: u8,
    pub parent: Tgid,
    /// Start time in clock ticks since boot.
    pub started: u64,
}

/// Reads the status of a process, if it exists.
pub(crate) fn stat(tgid: Tgid) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{}/stat", tgid.0)).ok()?)
}

/// True if this process still exists. A later process with its ID does not count.
pub(crate) fn is_there(process: ProcKey) -> bool {
    // proc(5) shows the start time in ticks, rounded down.
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    stat(process.tgid).is_some_and(|stat| stat.started == process.born.0 / tick_ns)
}

/// Resident memory of this process in bytes; zero if unknown.
pub(crate) fn own_resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|it| it.parse().ok());
    pages.unwrap_or(0_u64).saturating_mul(page_size())
}

/// Values of a process for the metrics `process_*`. Unknown values are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUsage {
    pub virtual_bytes: u64,
    pub threads: u64,
    pub open_fds: u64,
    pub max_fds: u64,
    /// Nanoseconds since 1970.
    pub started_ns: u64,
}

/// Computed once, because every conversion has another rounding.
static STARTED_NS: OnceLock<u64> = OnceLock::new();

/// The wall-clock time of a number of clock ticks since boot.
fn to_wall_ns(ticks: u64) -> u64 {
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let to_wall = u64::try_from(clock::boot_to_wall_ns()).unwrap_or(0);
    ticks.saturating_mul(tick_ns).saturating_add(to_wall)
}

impl ProcessUsage {
    /// The values of this process.
    pub(crate) fn own() -> Self {
        let stat = fs::read("/proc/self/stat").unwrap_or_default();
        // The name may contain anything, also a parenthesis.
        let after = stat
            .iter()
            .rposition(|it| *it == b')')
            .map_or(0, |at| at + 1);
        let rest = String::from_utf8_lossy(stat.get(after..).unwrap_or_default());
        let fields: Vec<u64> = rest
            .split_whitespace()
            .map(|it| it.parse().unwrap_or(0))
            .collect();
        // proc(5) counts from the process ID, and the state is its third field.
        let field = |n: usize| fields.get(n - 3).copied().unwrap_or(0);
        Self {
            virtual_bytes: field(23),
            threads: field(20),
            open_fds: n_open_fds(),
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile)
                .current
                .unwrap_or(0),
            started_ns: *STARTED_NS.get_or_init(|| to_wall_ns(field(22))),
        }
    }
}

/// The open file descriptors of this process, without the one that counts them.
fn n_open_fds() -> u64 {
    let n = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    u64::try_from(n.saturating_sub(1)).unwrap_or(0)
}

/// Page size of this machine, in bytes.
pub fn page_size() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// Returns free memory of the allocator to the system. Useful after a peak: the parsing at the start, or many builds at the same time.
pub(crate) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer, and the allocator locks its own state.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// `tgid` and its ancestors, at most 64 processes.
pub(crate) fn ancestors(tgid: Tgid) -> impl Iterator<Item = Tgid> {
    iter::successors(Some(tgid), |&tgid| {
        stat(tgid)
            .map(|stat| stat.parent)
            .filter(|parent| parent.0 > 0)
    })
    .take(64)
}

/// Reads the environment of a process at its start.
pub(crate) fn environ(tgid: Tgid) -> io::Result<Env> {
    Ok(parse_environ(&fs::read(format!(
        "/proc/{}/environ",
        tgid.0
    ))?))
}

/// The user ID with which this process opens files. This is not the owner of `/proc/PID`: root owns that of a program which its
/// user may not read, and a builder can create such a program.
pub(crate) fn fs_uid(process: ProcKey) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.tgid.0)).ok()?;
    let uid = parse_fs_uid(&status)?;
    // This check after the read excludes a later process with the same ID.
    is_there(process).then_some(uid)
}

/// The last of the four IDs of `Uid:` real, effective, saved, file system.
fn parse_fs_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    // The name is in parentheses and may contain any byte, including parentheses.
    let open = bytes.iter().position(|&byte| byte == b'(')?;
    let close = bytes.iter().rposition(|&byte| byte == b')')?;
    let comm = bytes.get(open + 1..close)?.to_vec();
    let mut fields = std::str::from_utf8(bytes.get(close + 1..)?)
        .ok()?
        .split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = Tgid(fields.next()?.parse().ok()?);
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        comm,
        state,
        parent,
        started,
    })
}

pub(crate) fn parse_environ(bytes: &[u8]) -> Env {
    bytes
        .split(|&byte| byte == 0)
        .filter_map(|variable| {
            let equals = variable.iter().position(|&byte| byte == b'=')?;
            let (name, value) = variable.split_at_checked(equals)?;
            Some((
                OsString::from_vec(name.to_vec()),
                OsString::from_vec(value.get(1..)?.to_vec()),
            ))
        })
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_parentheses_and_spaces() {
        let stat =
            parse_stat(b"17 (a) S (b) T 4 17 17 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 9")
                .unwrap();
        let expected = Stat {
            comm: b"a) S (b".to_vec(),
            state: b'T',
            parent: Tgid(4),
            started: 4711,
        };
        assert_eq!(stat, expected);
    }

    #[test]
    fn an_incomplete_stat_is_none() {
        for text in [
            "",
            "17",
            "17 (",
            "17 (a",
            "17 (a)",
            "17 (a) S",
            "17 (a) S 4",
            "17 )a( S 4",
        ] {
            assert_eq!(parse_stat(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_first_ancestor_is_the_process_itself() {
        let all: Vec<Tgid> = ancestors(Tgid(std::process::id())).collect();
        assert_eq!(all.first(), Some(&Tgid(std::process::id())));
        assert!(all.len() > 1);
    }

    #[test]
    fn a_process_with_another_start_time_does_not_exist() {
        let tgid = Tgid(std::process::id());
        assert!(stat(tgid).is_some());
        assert!(!is_there(ProcKey {
            tgid,
            born: tracer_core::event::Ktime(0)
        }));
    }

    #[test]
    fn the_fourth_uid_is_the_file_system_uid() {
        let status = "Name:\tUid:\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n";
        assert_eq!(parse_fs_uid(status), Some(4));
        assert_eq!(parse_fs_uid("Uid:\t1\n"), None);
    }
}
