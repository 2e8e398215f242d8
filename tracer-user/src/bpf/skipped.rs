//! Counts how often the kernel skipped a program. No program can count this loss.
//!
//! The kernel skips a program at a tracepoint or at a function while the same program runs on that CPU, which can happen if programs are
//! preempted. The kernel counts the skips (`recursion_misses` in the `fdinfo` of the program, since Linux 5.12), but not by process: the
//! process may not be a followed one. Where programs can be preempted each has a backup, and a hit is lost only if both were skipped.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya::Ebpf;
use aya::programs::ProgramError;
use tracer_abi::Kind;

use super::error::TracerError;
use super::hook;

const FIELD: &str = "recursion_misses:";

/// The kind of record, its program, and its possible backups. No such program records renames at a tracepoint.
const PROGRAMS: [(Kind, &str, &[&str]); 4] = [
    (Kind::FORK, "on_fork", &["on_fork_late", "on_fork_backup"]),
    (Kind::EXEC, "on_exec", &["on_exec_late", "on_exec_backup"]),
    (Kind::EXIT, "on_exit", &["on_exit_late", "on_exit_backup"]),
    (Kind::RENAME, "on_renameat", &["on_renameat_backup"]),
];

/// Programs that can be skipped, by the kind of their records.
pub(super) struct Skipped(Vec<(Kind, HookPrograms)>);

struct HookPrograms {
    primary: NamedProgram,
    backup: Option<NamedProgram>,
}

struct NamedProgram {
    name: &'static str,
    fd: OwnedFd,
}

impl Skipped {
    /// Collects the loaded programs with the existing backups.
    pub(super) fn of(
        ebpf: &mut Ebpf,
        is_there: impl Fn(&'static str) -> bool,
    ) -> Result<Self, TracerError> {
        let mut get = |name| -> Result<OwnedFd, TracerError> {
            let program = hook::loaded(ebpf, name)?;
            let fd = program.fd()?.as_fd().try_clone_to_owned();
            Ok(fd.map_err(ProgramError::IOError)?)
        };
        Self::by(&mut get, is_there)
    }

    /// Collects pinned programs, by name.
    pub(super) fn pinned<E>(
        mut get: impl FnMut(&'static str) -> Result<OwnedFd, E>,
        is_there: impl Fn(&'static str) -> bool,
    ) -> Result<Self, E> {
        Self::by(&mut get, is_there)
    }

    fn by<E>(
        get: &mut impl FnMut(&'static str) -> Result<OwnedFd, E>,
        is_there: impl Fn(&'static str) -> bool,
    ) -> Result<Self, E> {
        let mut skipped = Vec::with_capacity(PROGRAMS.len());
        for (kind, name, backups) in PROGRAMS {
            if !is_there(name) {
                continue;
            }
            let mut named = |name| get(name).map(|fd| NamedProgram { name, fd });
            let primary = named(name)?;
            let backup = backups.iter().copied().find(|it| is_there(it));
            let backup = backup.map(&mut named).transpose()?;
            skipped.push((kind, HookPrograms { primary, backup }));
        }
        Ok(Self(skipped))
    }

    /// All programs, by name.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&'static str, BorrowedFd<'_>)> {
        let all = self
            .0
            .iter()
            .flat_map(|(_, it)| Some(&it.primary).into_iter().chain(&it.backup));
        all.map(|it| (it.name, it.fd.as_fd()))
    }

    /// Number of lost records of a kind so far. Zero on kernels that do not count skips.
    pub(super) fn n(&self, kind: Kind) -> u64 {
        let programs = self.0.iter().find(|(its, _)| *its == kind);
        programs.map_or(0, |(_, programs)| {
            lost(
                programs.primary.n(),
                programs.backup.as_ref().map(NamedProgram::n),
            )
        })
    }
}

impl NamedProgram {
    fn n(&self) -> u64 {
        let fdinfo = format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd());
        fs::read_to_string(fdinfo).map_or(0, |it| misses(&it))
    }
}

/// An upper bound of the loss: each program saw the hits for which the other was skipped. The true loss can be lower, because the backup
/// can be skipped where the primary was not. The backup runs only for a moment, though, as long as it has nothing to make up for.
fn lost(primary: u64, backup: Option<u64>) -> u64 {
    backup.map_or(primary, |backup| backup.min(primary))
}

fn misses(fdinfo: &str) -> u64 {
    let value = fdinfo.lines().find_map(|it| it.strip_prefix(FIELD));
    value.and_then(|it| it.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_seen_by_one_of_two_programs_is_not_lost() {
        assert_eq!(lost(3, None), 3);
        assert_eq!(lost(3, Some(0)), 0);
        assert_eq!(lost(3, Some(1)), 1);
        assert_eq!(lost(0, Some(2)), 0);
    }

    #[test]
    fn the_kernels_count_is_parsed() {
        let text =
            "pos:\t0\nprog_type:\t26\nrun_cnt:\t7\nrecursion_misses:\t3\nverified_insns:\t9\n";
        assert_eq!(misses(text), 3);
        assert_eq!(misses("prog_type:\t26\n"), 0);
        assert_eq!(misses("recursion_misses:\tmany\n"), 0);
    }
}
