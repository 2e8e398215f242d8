//! Restrictions that a process puts around itself, for good, before it touches what an enemy wrote.
//!
//! What is left to it: its first descriptor, to be read at any place; the next two, to be written; memory and processor time up to a
//! limit; and its end. It can open nothing, start nothing, speak to nobody and become nobody. Each wall stands by itself: what one
//! does not hold the next one does. They are of the process that calls this, which must not have started a thread.
//!
//! Without system call filters there is no sandbox, and that is an error. Landlock is newer than some kernels; [`Restrictions`] says what
//! there is of it.

mod filter;
#[cfg(test)]
mod tests;
mod status;

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

/// The first descriptor that is closed.
const FIRST_OTHER: libc::c_uint = 3;
/// The newest version of Landlock that is asked for; an older kernel gives what it has.
const LANDLOCK: ABI = ABI::V7;

/// How much the process may take from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of its address space, its program included.
    pub memory: u64,
    /// Processor time since it began.
    pub cpu_seconds: u64,
    /// How far it stands back for others, 0 to 19.
    pub nice: i32,
}

/// A wall that cannot be put up.
#[derive(Debug, Error)]
pub enum SandboxError {
    #[error("cannot close what it inherited: {0}")]
    Inherited(io::Error),
    #[error("cannot {what}: {errno}")]
    Process { what: &'static str, errno: Errno },
    #[error("it still has capabilities")]
    Capable,
    #[error("Landlock refused: {0}")]
    Landlock(#[from] RulesetError),
    #[error("cannot filter system calls (needs CONFIG_SECCOMP_FILTER): {0}")]
    Filter(#[from] seccompiler::Error),
}

/// Puts up all restrictions. After an error the process is not safe, and must end.
pub fn enter(bounds: Bounds) -> Result<Restrictions, SandboxError> {
    close_inherited()?;
    lower_priority(bounds.nice);
    // A parent that is gone already is noticed when the result cannot be written.
    checked(
        "ask to end with its parent",
        set_parent_process_death_signal(Some(Signal::KILL)),
    )?;
    checked("give up gaining privileges", set_no_new_privs(true))?;
    let landlock = apply_landlock()?;
    drop_capabilities()?;
    limit(bounds)?;
    // Nobody reads its memory or traces it, and it leaves no core.
    checked(
        "be no core file",
        set_dumpable_behavior(DumpableBehavior::NotDumpable),
    )?;
    filter::apply()?;
    Ok(Restrictions { landlock })
}

/// Gives up, for good, all rights that others have not: capabilities, gaining any, starting a program, and signals to other
/// processes. Files and the network are left to it as its user has them. It must not have opened anything or started a thread.
pub fn drop_privileges() -> Result<Restrictions, SandboxError> {
    close_inherited()?;
    checked("give up gaining privileges", set_no_new_privs(true))?;
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

/// Whoever started gotrace may have left it descriptors that pass on to what it starts.
fn close_inherited() -> Result<(), SandboxError> {
    // SAFETY: close_range takes three numbers and no memory. Nothing in this process owns a descriptor from there on: it has only
    // begun, with the three that it was given.
    let result = unsafe { libc::syscall(libc::SYS_close_range, FIRST_OTHER, libc::c_uint::MAX, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(SandboxError::Inherited(io::Error::last_os_error()))
    }
}

/// Takes what others leave of processor and disks, and goes first where memory is short. No wall, so what fails is let be.
fn lower_priority(nice: i32) {
    /// `IOPRIO_WHO_PROCESS`, which with 0 is the calling thread.
    const THREAD: libc::c_int = 1;
    /// `IOPRIO_CLASS_IDLE`, shifted to its place.
    const IDLE: libc::c_int = 3 << 13;
    let _nice = rustix::process::nice(nice);
    // SAFETY: ioprio_set takes three numbers and no memory.
    let _idle = unsafe { libc::syscall(libc::SYS_ioprio_set, THREAD, 0, IDLE) };
    let _first = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Nothing of the file system, no connection, no signal to anybody. Says which version of Landlock that is.
fn apply_landlock() -> Result<u32, SandboxError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()?;
    Ok(version(&status.landlock))
}

/// What the kernel enforces, 0 if nothing.
fn version(status: &LandlockStatus) -> u32 {
    match status {
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
        LandlockStatus::Available { effective_abi, .. } => *effective_abi as u32,
    }
}

fn drop_capabilities() -> Result<(), SandboxError> {
    for capability in CapabilitySet::all().iter() {
        // The kernel may not know it, and without CAP_SETPCAP nothing can be taken out. What stays in the bounding set cannot be
        // had all the same: nothing is executed any more, and nothing that is could gain privileges.
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
        Err(errno) => checked("ask for its capabilities", Err(errno)),
    }
}

fn limit(bounds: Bounds) -> Result<(), SandboxError> {
    let Bounds {
        memory,
        cpu_seconds,
        nice: _,
    } = bounds;
    for (resource, most) in [
        (Resource::As, memory),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
    ] {
        set(resource, most, most)?;
    }
    // The signal of the first limit can be told from others, the second one kills.
    set(Resource::Cpu, cpu_seconds, cpu_seconds + 1)
}

fn set(resource: Resource, current: u64, maximum: u64) -> Result<(), SandboxError> {
    let limit = Rlimit {
        current: Some(current),
        maximum: Some(maximum),
    };
    checked("limit itself", setrlimit(resource, limit))
}
