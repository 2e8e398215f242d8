//! How often the kernel did not run a program where it should have: that is a loss which the program itself cannot count.
//!
//! A program at a tracepoint is skipped while the same one is at work on that CPU, which happens where it can be preempted. The kernel
//! counts that (`recursion_misses` in the `fdinfo` of the program, since Linux 5.12), but not whose exec or exit it was: it need not
//! be one that is followed.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya::Ebpf;
use aya::programs::ProgramError;
use tracer_abi::Kind;

use super::error::TracerError;
use super::hook;

const FIELD: &str = "recursion_misses:";

const PROGRAMS: [(Kind, &str); 3] = [
    (Kind::FORK, "on_fork"),
    (Kind::EXEC, "on_exec"),
    (Kind::EXIT, "on_exit"),
];

/// The programs that may be skipped, and what is lost by it.
pub(super) struct Skipped(Vec<(Kind, OwnedFd)>);

impl Skipped {
    /// Of the programs of the scheduler's hooks, which are loaded.
    pub(super) fn of(ebpf: &mut Ebpf) -> Result<Self, TracerError> {
        let held = PROGRAMS.map(|(kind, name)| -> Result<_, TracerError> {
            let program = hook::program(ebpf, name)?;
            let fd = program.fd()?.as_fd().try_clone_to_owned();
            Ok((kind, fd.map_err(ProgramError::IOError)?))
        });
        Ok(Self(held.into_iter().collect::<Result<_, _>>()?))
    }

    /// Programs that were pinned, which are asked for by name.
    pub(super) fn pinned<E>(get: impl Fn(&'static str) -> Result<OwnedFd, E>) -> Result<Self, E> {
        let held = PROGRAMS.map(|(kind, name)| get(name).map(|fd| (kind, fd)));
        Ok(Self(held.into_iter().collect::<Result<_, _>>()?))
    }

    /// The programs by name.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&'static str, BorrowedFd<'_>)> {
        let held = self.0.iter().zip(PROGRAMS);
        held.map(|((_, fd), (_, name))| (name, fd.as_fd()))
    }

    /// How often so far. Where the kernel does not say it, nothing is known to have been skipped.
    pub(super) fn n(&self, kind: Kind) -> u64 {
        let held = self.0.iter().find(|(its, _)| *its == kind);
        let text = held.and_then(|(_, fd)| {
            fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()
        });
        text.map_or(0, |it| misses(&it))
    }
}

fn misses(fdinfo: &str) -> u64 {
    let value = fdinfo.lines().find_map(|it| it.strip_prefix(FIELD));
    value.and_then(|it| it.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_number_is_read() {
        let text =
            "pos:\t0\nprog_type:\t26\nrun_cnt:\t7\nrecursion_misses:\t3\nverified_insns:\t9\n";
        assert_eq!(misses(text), 3);
        assert_eq!(misses("prog_type:\t26\n"), 0);
        assert_eq!(misses("recursion_misses:\tmany\n"), 0);
    }
}
