//! The hook of `rename` at its system call's tracepoint, for kernels that run no programs at functions.
//!
//! While it is attached, every process on the machine takes the slow path into each system call. An agent therefore attaches it only while
//! a build runs. `aya` keeps a program in its object, which the loader drops, so this module makes the system calls itself.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use zerocopy::{Immutable, IntoBytes};

use super::sys;

/// The name of the program, and its tracepoint.
pub(super) const PROGRAM: &str = "on_rename";
const TRACEPOINT: &str = "events/syscalls/sys_exit_renameat";

// From `include/uapi/linux/bpf.h`.
const BPF_PERF_EVENT: u32 = 41;

// From `include/uapi/linux/perf_event.h`.
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_SAMPLE_RAW: u64 = 1 << 10;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
const PERF_EVENT_IOC_ENABLE: libc::Ioctl = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::Ioctl = 0x4004_2408;

/// `struct perf_event_attr` in its first published size, which every kernel accepts.
#[derive(Default, IntoBytes, Immutable)]
#[repr(C)]
struct EventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads for a perf event.
#[derive(Default, IntoBytes, Immutable)]
#[repr(C)]
struct LinkAttr {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    bpf_cookie: u64,
}

const _: () = assert!(size_of::<EventAttr>() == 64);
const _: () = assert!(size_of::<LinkAttr>() == 24);

/// The program, and its link while it is attached.
pub(super) struct RenameHook {
    /// `None` if an earlier version of gotrace loaded it and did not pin it. Its link is then permanent.
    program: Option<OwnedFd>,
    link: Option<OwnedFd>,
}

impl RenameHook {
    /// A loaded program, which is not attached.
    pub(super) fn new(program: OwnedFd) -> Self {
        Self {
            program: Some(program),
            link: None,
        }
    }

    /// The program and the link that a previous process pinned; `None` without both.
    pub(super) fn adopted(program: Option<OwnedFd>, link: Option<OwnedFd>) -> Option<Self> {
        (program.is_some() || link.is_some()).then_some(Self { program, link })
    }

    pub(super) fn program(&self) -> Option<BorrowedFd<'_>> {
        self.program.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn link(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(AsFd::as_fd)
    }

    /// Attaches the program; does nothing if it is attached already.
    pub(super) fn attach(&mut self) -> io::Result<()> {
        if let Some(program) = &self.program
            && self.link.is_none()
        {
            self.link = Some(attach(program.as_fd())?);
        }
        Ok(())
    }

    /// True if the program is attached and can be attached again.
    pub(super) fn is_removable(&self) -> bool {
        self.program.is_some() && self.link.is_some()
    }

    /// Detaches the program. The kernel waits up to 70 ms for that, so another thread closes the link.
    pub(super) fn detach(&mut self) {
        if let Some(link) = self.link.take() {
            // If no thread can be started, the link is closed here.
            let _ = thread::Builder::new()
                .name("detach".to_owned())
                .spawn(move || drop(link));
        }
    }
}

/// The directory of the tracepoint; `None` without tracefs or without the right to read it.
pub(super) fn tracepoint(tracefs: &[&str]) -> Option<PathBuf> {
    let mut all = tracefs.iter().map(|it| Path::new(it).join(TRACEPOINT));
    all.find(|it| it.is_dir())
}

/// Closing the result detaches the program.
fn attach(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let event = open_event()?;
    let program = program.as_raw_fd();
    if !aya::features().bpf_perf_link() {
        control(&event, PERF_EVENT_IOC_SET_BPF, program)?;
        control(&event, PERF_EVENT_IOC_ENABLE, 0)?;
        return Ok(event);
    }
    let attr = LinkAttr {
        prog_fd: u32::try_from(program).map_err(io::Error::other)?,
        target_fd: u32::try_from(event.as_raw_fd()).map_err(io::Error::other)?,
        attach_type: BPF_PERF_EVENT,
        ..LinkAttr::default()
    };
    // SAFETY: the attribute contains no pointers.
    unsafe { sys::bpf(sys::BPF_LINK_CREATE, &attr) }
}

/// Opens the tracepoint's perf event, of all processes on all CPUs: the kernel ignores the CPU if a program is attached.
fn open_event() -> io::Result<OwnedFd> {
    let missing = || io::Error::other("no system call tracepoints");
    let directory = tracepoint(&super::hook::TRACEFS).ok_or_else(missing)?;
    let id = fs::read_to_string(directory.join("id"))?;
    let attr = EventAttr {
        kind: PERF_TYPE_TRACEPOINT,
        size: u32::try_from(size_of::<EventAttr>()).map_err(io::Error::other)?,
        config: id.trim().parse().map_err(io::Error::other)?,
        sample_period: 1,
        sample_type: PERF_SAMPLE_RAW,
        wakeup_events: 1,
        ..EventAttr::default()
    };
    let [every_process, no_group, first_cpu]: [libc::c_long; 3] = [-1, -1, 0];
    // SAFETY: the kernel reads `size` bytes of the attribute, which contains no pointers.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attr.as_bytes().as_ptr(),
            every_process,
            first_cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call returns a new descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn control(event: &OwnedFd, request: libc::Ioctl, value: i32) -> io::Result<()> {
    // SAFETY: both requests take a number, not a pointer.
    let done = unsafe { libc::ioctl(event.as_raw_fd(), request, value) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
