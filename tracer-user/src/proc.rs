//! The few facts that gotrace takes from `/proc`: who is whose parent, and since when. Never what happened; the kernel tells that.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::iter;
use std::os::unix::ffi::OsStringExt;

use tracer_core::event::{ProcKey, Tgid};

/// Variables in their order, as a process was started with.
pub(crate) type Env = Vec<(OsString, OsString)>;

/// Part of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub comm: Vec<u8>,
    /// `T`: stopped by a signal.
    pub state: u8,
    pub parent: Tgid,
    /// In clock ticks since boot.
    pub started: u64,
}

/// What there is of a process now.
pub(crate) fn stat(tgid: Tgid) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{}/stat", tgid.0)).ok()?)
}

/// Whether that very process, and no later one with its id, is still there.
pub(crate) fn is_there(process: ProcKey) -> bool {
    // proc(5) shows the same instant in ticks, rounded down.
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    stat(process.tgid).is_some_and(|stat| stat.started == process.born.0 / tick_ns)
}

/// Memory of this process that is in RAM, in bytes; zero if that is not shown.
pub(crate) fn own_resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|it| it.parse().ok());
    pages.unwrap_or(0_u64).saturating_mul(page_size())
}

/// Of this machine, in bytes.
pub fn page_size() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// Memory that is free but kept by the allocator goes back to the system. Worth it after much was done at once: what was parsed at the
/// start, or many builds that ran at the same time.
pub(crate) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; the allocator locks what it looks at.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// `tgid` and the processes above it, at most 64.
pub(crate) fn ancestors(tgid: Tgid) -> impl Iterator<Item = Tgid> {
    iter::successors(Some(tgid), |&tgid| {
        stat(tgid)
            .map(|stat| stat.parent)
            .filter(|parent| parent.0 > 0)
    })
    .take(64)
}

/// The environment a process was started with.
pub(crate) fn environ(tgid: Tgid) -> io::Result<Env> {
    Ok(parse_environ(&fs::read(format!(
        "/proc/{}/environ",
        tgid.0
    ))?))
}

/// The user with whose rights that very process opens files. Not the owner of `/proc/PID`: that is root for a program that its
/// user may not read, and a builder can make one.
pub(crate) fn fs_uid(process: ProcKey) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.tgid.0)).ok()?;
    let uid = parse_fs_uid(&status)?;
    // Asked after reading: then it was that process, and no later one with the same id.
    is_there(process).then_some(uid)
}

/// `Uid:` real, effective, saved, file system.
fn parse_fs_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    // The name stands in parentheses and may hold any byte, parentheses included.
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
    fn a_name_with_parentheses_and_spaces_hides_nothing() {
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
    fn half_a_stat_is_none() {
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
    fn we_are_our_own_first_ancestor() {
        let all: Vec<Tgid> = ancestors(Tgid(std::process::id())).collect();
        assert_eq!(all.first(), Some(&Tgid(std::process::id())));
        assert!(all.len() > 1);
    }

    #[test]
    fn a_process_of_another_birth_is_not_there() {
        let tgid = Tgid(std::process::id());
        assert!(stat(tgid).is_some());
        assert!(!is_there(ProcKey {
            tgid,
            born: tracer_core::event::Ktime(0)
        }));
    }

    #[test]
    fn the_fourth_uid_is_the_one_for_files() {
        let status = "Name:\tUid:\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n";
        assert_eq!(parse_fs_uid(status), Some(4));
        assert_eq!(parse_fs_uid("Uid:\t1\n"), None);
    }
}
