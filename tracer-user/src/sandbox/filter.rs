//! The allowed system calls, by arguments where these matter. Any other call ends the process.
//!
//! No call on the list takes a path or an address, creates a descriptor, a thread or a process, maps a file, or makes memory
//! executable. `stat` and similar calls are not on it either: the parent passes the required attributes of the file.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Calls of the allocator, of locks, of process exit and of a panic.
const HARMLESS: [libc::c_long; 19] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
];

/// Applies the filter permanently.
pub(super) fn apply() -> Result<(), Error> {
    seccompiler::apply_filter(&program()?)
}

fn program() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        HARMLESS.iter().map(|&call| (call, Vec::new())).collect();
    let own = u64::from(std::process::id());
    rules.extend([
        (libc::SYS_pread64, vec![all(vec![is(0, 0)?])?]),
        (
            libc::SYS_write,
            vec![all(vec![is(0, 1)?])?, all(vec![is(0, 2)?])?],
        ),
        (
            libc::SYS_mmap,
            vec![all(vec![
                has_not(2, libc::PROT_EXEC)?,
                has(3, libc::MAP_ANONYMOUS)?,
            ])?],
        ),
        (
            libc::SYS_mprotect,
            vec![all(vec![has_not(2, libc::PROT_EXEC)?])?],
        ),
        // abort() of glibc and of musl.
        (
            libc::SYS_tgkill,
            vec![all(vec![is(0, own)?, is(2, number(libc::SIGABRT))?])?],
        ),
        (
            libc::SYS_tkill,
            vec![all(vec![is(0, own)?, is(1, number(libc::SIGABRT))?])?],
        ),
    ]);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        arch,
    )?
    .try_into()
}

fn all(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions)
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn has(argument: u8, flag: libc::c_int) -> Result<SeccompCondition, BackendError> {
    let flag = number(flag);
    SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(flag),
        flag,
    )
}

fn has_not(argument: u8, flag: libc::c_int) -> Result<SeccompCondition, BackendError> {
    let mask = SeccompCmpOp::MaskedEq(number(flag));
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, mask, 0)
}

/// Flags and signals are never negative.
fn number(it: libc::c_int) -> u64 {
    u64::from(it.unsigned_abs())
}
