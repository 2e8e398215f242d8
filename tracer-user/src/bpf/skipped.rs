//! How often the kernel ran no program where one should have run: that is a loss which no program can count.
//!
//! A program at a tracepoint is skipped while the same one is at work on that CPU, which happens where it can be preempted. The kernel
//! counts that (`recursion_misses` in the `fdinfo` of the program, since Linux 5.12), but not whose exec or exit it was: it need not
//! be one that is followed. Where that happens each program is there twice, and only what both were skipped for is lost.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya::Ebpf;
use aya::programs::ProgramError;
use tracer_abi::Kind;

use super::error::TracerError;
use super::hook;

const FIELD: &str = "recursion_misses:";

/// What is lost if none is run, the program, and those of which one makes up for it where it is there.
const PROGRAMS: [(Kind, &str, [&str; 2]); 3] = [
    (Kind::FORK, "on_fork", ["on_fork_late", "on_fork_backup"]),
    (Kind::EXEC, "on_exec", ["on_exec_late", "on_exec_backup"]),
    (Kind::EXIT, "on_exit", ["on_exit_late", "on_exit_backup"]),
];

/// The programs that may be skipped, by what is lost.
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
    /// Of the programs of the scheduler's hooks, which are loaded; with those of a second time that are there.
    pub(super) fn of(
        ebpf: &mut Ebpf,
        is_there: impl Fn(&'static str) -> bool,
    ) -> Result<Self, TracerError> {
        let mut get = |name| -> Result<OwnedFd, TracerError> {
            let program = hook::program(ebpf, name)?;
            let fd = program.fd()?.as_fd().try_clone_to_owned();
            Ok(fd.map_err(ProgramError::IOError)?)
        };
        Self::by(&mut get, is_there)
    }

    /// Programs that were pinned, which are asked for by name.
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
        let mut programs_at = Vec::with_capacity(PROGRAMS.len());
        for (kind, name, backup) in PROGRAMS {
            let mut named = |name| get(name).map(|fd| NamedProgram { name, fd });
            let primary = named(name)?;
            let backup = backup.into_iter().find(|it| is_there(it));
            let backup = backup.map(&mut named).transpose()?;
            programs_at.push((kind, HookPrograms { primary, backup }));
        }
        Ok(Self(programs_at))
    }

    /// The programs by name.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&'static str, BorrowedFd<'_>)> {
        let all = self
            .0
            .iter()
            .flat_map(|(_, programs_at)| Some(&programs_at.primary).into_iter().chain(&programs_at.backup));
        all.map(|it| (it.name, it.fd.as_fd()))
    }

    /// What was lost of a kind so far. Where the kernel does not say it, nothing is known to have been skipped.
    pub(super) fn n(&self, kind: Kind) -> u64 {
        let programs_at = self.0.iter().find(|(its, _)| *its == kind);
        programs_at.map_or(0, |(_, programs_at)| {
            lost(programs_at.primary.n(), programs_at.backup.as_ref().map(NamedProgram::n))
        })
    }
}

impl NamedProgram {
    fn n(&self) -> u64 {
        let fdinfo = format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd());
        fs::read_to_string(fdinfo).map_or(0, |it| misses(&it))
    }
}

/// No more than this was lost: of what one was skipped for the other has seen the rest. It can be less, as the second is skipped also
/// where the primary was not; but that one is at work for a moment only, as long as it has nothing to make up for.
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
    fn what_one_of_two_has_seen_is_not_lost() {
        assert_eq!(lost(3, None), 3);
        assert_eq!(lost(3, Some(0)), 0);
        assert_eq!(lost(3, Some(1)), 1);
        assert_eq!(lost(0, Some(2)), 0);
    }

    #[test]
    fn the_kernels_number_is_read() {
        let text =
            "pos:\t0\nprog_type:\t26\nrun_cnt:\t7\nrecursion_misses:\t3\nverified_insns:\t9\n";
        assert_eq!(misses(text), 3);
        assert_eq!(misses("prog_type:\t26\n"), 0);
        assert_eq!(misses("recursion_misses:\tmany\n"), 0);
    }
}
