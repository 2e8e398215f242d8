//! Permanent restrictions of a process, applied before it reads files from an untrusted source.
//!
//! The process keeps these abilities: read its first descriptor at any offset, write the next two, use memory and CPU time up to a limit,
//! and exit. It can open no file, start no process, make no connection and change no identity. The restrictions are independent, so one
//! still holds if another fails. They apply to the calling process, which must not have started a thread.
//!
//! Without system call filters there is no sandbox, and that is an error. Landlock is newer than some kernels; [`Restrictions`] reports
//! its version.

mod filter;
mod status;
#[cfg(test)]
mod tests;

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr as _, RulesetError,
    Scope,
};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use thiserror::Error;

pub use self::status::Restrictions;

/// The first descriptor to close.
const FIRST_OTHER: libc::c_uint = 3;
/// The newest version of Landlock to request; an older kernel enforces its own version.
const LANDLOCK: ABI = ABI::V7;

/// Limits of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of its address space, including its program.
    pub memory: u64,
    /// CPU time since its start.
    pub cpu_seconds: u64,
    /// Its nice value, 0 to 19.
    pub nice: i32,
}

/// A restriction that cannot be applied.
#[derive(Debug, Error)]
pub enum SandboxError {
    #[error("cannot close inherited descriptors: {0}")]
    Inherited(io::Error),
    #[error("cannot {what}: {errno}")]
    Process { what: &'static str, errno: Errno },
    #[error("cannot drop all capabilities: the process still has some")]
    Capable,
    #[error("cannot apply Landlock rules: {0}")]
    Landlock(#[from] RulesetError),
    #[error("cannot filter system calls (needs CONFIG_SECCOMP_FILTER): {0}")]
    Filter(#[from] seccompiler::Error),
}

/// Applies all restrictions. After an error the process is not safe, and must exit.
pub fn enter(bounds: Bounds) -> Result<Restrictions, SandboxError> {
    close_inherited()?;
    lower_priority(bounds.nice);
    // If the parent has already ended, writing the result fails.
    checked(
        "request SIGKILL at the end of the parent",
        set_parent_process_death_signal(Some(Signal::KILL)),
    )?;
    checked("set no_new_privs", set_no_new_privs(true))?;
    let landlock = apply_landlock()?;
    drop_capabilities()?;
    limit(bounds)?;
    // No other process can trace it or read its memory, and it leaves no core file.
    checked(
        "disable core files",
        set_dumpable_behavior(DumpableBehavior::NotDumpable),
    )?;
    filter::apply()?;
    Ok(Restrictions { landlock })
}

/// Permanently drops capabilities, gaining privileges, executing programs, and signals to other processes. The process keeps its user's
/// access to files and the network. It must not have opened anything or started a thread.
pub fn drop_privileges() -> Result<Restrictions, SandboxError> {
    close_inherited()?;
    checked("set no_new_privs", set_no_new_privs(true))?;
    let status = Ruleset::default()
        .handle_access(AccessFs::Execute)?
        .scope(Scope::Signal)?
        .create()?
        .restrict_self()?;
    drop_capabilities()?;
    Ok(Restrictions {
        landlock: version(&status.landlock),
    })
}

fn checked(what: &'static str, result: Result<(), Errno>) -> Result<(), SandboxError> {
    result.map_err(|errno| SandboxError::Process { what, errno })
}

/// Closes descriptors that the parent of gotrace left open, because they would be inherited further.
fn close_inherited() -> Result<(), SandboxError> {
    // SAFETY: close_range takes three numbers and no memory. Nothing in this process owns a descriptor of that range: it has only
    // started, with its three standard descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, FIRST_OTHER, libc::c_uint::MAX, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(SandboxError::Inherited(io::Error::last_os_error()))
    }
}

/// Lowers CPU and disk priority, and makes this process the first to be killed if memory is short. Failures are ignored, because this is
/// no restriction.
fn lower_priority(nice: i32) {
    /// `IOPRIO_WHO_PROCESS`, which with 0 is the calling thread.
    const THREAD: libc::c_int = 1;
    /// `IOPRIO_CLASS_IDLE`, shifted to its position.
    const IDLE: libc::c_int = 3 << 13;
    let _nice = rustix::process::nice(nice);
    // SAFETY: ioprio_set takes three numbers and no memory.
    let _idle = unsafe { libc::syscall(libc::SYS_ioprio_set, THREAD, 0, IDLE) };
    let _first = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Denies the file system, connections, and signals to other processes. Returns the enforced version of Landlock.
fn apply_landlock() -> Result<u32, SandboxError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()?;
    Ok(version(&status.landlock))
}

/// The version that the kernel enforces, 0 if none.
fn version(status: &LandlockStatus) -> u32 {
    match status {
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
        LandlockStatus::Available { effective_abi, .. } => *effective_abi as u32,
    }
}

fn drop_capabilities() -> Result<(), SandboxError> {
    for capability in CapabilitySet::all().iter() {
        // The kernel may not support this capability, and without CAP_SETPCAP none can be removed. A capability that stays in the
        // bounding set cannot be gained anyway: this process executes nothing, and no program that it executes could gain privileges.
        let _stays = remove_capability_from_bounding_set(capability);
    }
    checked(
        "clear its ambient capabilities",
        clear_ambient_capability_set(),
    )?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    checked("drop its capabilities", set_capabilities(None, none))?;
    match capabilities(None) {
        Ok(now) if now == none => Ok(()),
        Ok(_) => Err(SandboxError::Capable),
        Err(errno) => checked("read its capabilities", Err(errno)),
    }
}

fn limit(bounds: Bounds) -> Result<(), SandboxError> {
    let Bounds {
        memory,
        cpu_seconds,
        nice: _,
    } = bounds;
    for (resource, maximum) in [
        (Resource::As, memory),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
    ] {
        set(resource, maximum, maximum)?;
    }
    // The soft limit sends SIGXCPU, which identifies the cause; the hard limit kills.
    set(Resource::Cpu, cpu_seconds, cpu_seconds + 1)
}

fn set(resource: Resource, current: u64, maximum: u64) -> Result<(), SandboxError> {
    let limit = Rlimit {
        current: Some(current),
        maximum: Some(maximum),
    };
    checked("set a resource limit", setrlimit(resource, limit))
}
