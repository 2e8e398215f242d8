//! Read leases on probed files: a process that opens such a file for writing blocks in the kernel until the probes are detached.
//!
//! The kernel asks for a lease back by a signal to one thread. This thread detaches the probes and gives up the lease. It waits only for
//! the kernel, in particular not for the main loop. Other modules decide when to probe a file again. `docs/kernel-facts.md` describes the
//! behaviour of leases on different kernels.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::getpid;
use rustix::thread::{CapabilitySet, capabilities, gettid};

use serde::Serialize;

use crate::bpf::Probed;

// From `include/uapi/asm-generic/fcntl.h`; `libc` has them for some targets only.
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;
const F_OWNER_TID: libc::c_int = 0;

/// `struct f_owner_ex` of the same file.
#[repr(C)]
struct Owner {
    kind: libc::c_int,
    id: libc::pid_t,
}

/// The protection of a probed file against writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Writers block until the probes are detached.
    Lease,
    /// None, because the file belongs to another user and `CAP_LEASE` is missing: gotrace detects a write a moment later.
    NotPermitted,
    /// None, because the file system or the kernel grants no leases: gotrace detects a write a moment later.
    Unsupported,
}

/// True if this process may take leases on files of other users.
pub fn may_lease() -> bool {
    capabilities(None).is_ok_and(|it| it.effective.contains(CapabilitySet::LEASE))
}

/// A process has the file open for writing now.
#[derive(Debug)]
pub(super) struct OpenForWriting;

/// The held leases, and the thread that gives them up.
pub(super) struct Leases {
    shared: Arc<Shared>,
    /// ID of the thread that receives the kernel's signals.
    tid: i32,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Files by target. The holder of the lock prevents that leases are given up.
    held: Mutex<LeasedFiles>,
    is_stopping: AtomicBool,
    probed: Probed,
}

type LeasedFiles = BTreeMap<u32, Arc<File>>;

/// Prevents that leases are given up: writers remain blocked while this value lives.
pub(super) struct LeaseGuard<'a> {
    held: MutexGuard<'a, LeasedFiles>,
    tid: i32,
}

impl Leases {
    pub(super) fn start(probed: Probed) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            held: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            probed,
        });
        let (tid_sender, tid_receiver) = sync_channel(1);
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("leases".to_owned())
            .spawn(move || run(&of_thread, &tid_sender))?;
        let tid = tid_receiver.recv().map_err(io::Error::other)?;
        let thread = Some(thread);
        Ok(Self {
            shared,
            tid,
            thread,
        })
    }

    pub(super) fn hold(&self) -> LeaseGuard<'_> {
        LeaseGuard {
            held: self.shared.lock(),
            tid: self.tid,
        }
    }
}

impl LeaseGuard<'_> {
    /// Takes a lease on a file. The file must have been opened for reading only.
    pub(super) fn take(&mut self, target: u32, file: &Arc<File>) -> Result<Guard, OpenForWriting> {
        match take(file, self.tid) {
            Ok(()) => {
                self.held.insert(target, Arc::clone(file));
                Ok(Guard::Lease)
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => Err(OpenForWriting),
                Some(libc::EACCES | libc::EPERM) => Ok(Guard::NotPermitted),
                _ => Ok(Guard::Unsupported),
            },
        }
    }

    /// True if this lease is still held. It is given up as soon as a process wants to write.
    pub(super) fn has(&self, target: u32) -> bool {
        self.held.contains_key(&target)
    }

    /// Gives up an unneeded lease.
    pub(super) fn give_up(&mut self, target: u32) {
        if let Some(file) = self.held.remove(&target) {
            give_up(&file);
        }
    }

    /// Gives up all leases.
    pub(super) fn give_up_all(&mut self) {
        for file in std::mem::take(&mut *self.held).into_values() {
            give_up(&file);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, LeasedFiles> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Detaches the probes of each file that has a blocked writer, then unblocks the writer.
    fn admit_writers(&self) {
        let has_writer = |_: &u32, file: &mut Arc<File>| !is_held(file);
        let broken: Vec<_> = self.lock().extract_if(.., has_writer).collect();
        thread::scope(|scope| {
            for (target, file) in &broken {
                let admit = move || {
                    self.probed.release(*target);
                    give_up(file);
                };
                // Detaching a file waits for the kernel, some 60 ms. Detaching all files at once takes no longer.
                if thread::Builder::new()
                    .name("detach".to_owned())
                    .spawn_scoped(scope, admit)
                    .is_err()
                {
                    admit();
                }
            }
        });
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // SAFETY: the call takes three numbers and no memory. The thread has not been joined, so the number is its own; it blocks
            // the signal and waits for it.
            unsafe {
                libc::syscall(
                    libc::SYS_tgkill,
                    getpid().as_raw_nonzero().get(),
                    self.tid,
                    signal(),
                )
            };
            let _ended = thread.join();
        }
        self.hold().give_up_all();
    }
}

/// The loop of the thread. Real-time signals are queued, so none is lost while the thread handles another one. If the queue is full, the
/// kernel sends SIGIO.
fn run(shared: &Shared, tid_sender: &SyncSender<i32>) {
    // SAFETY: an all-zero set is a valid value of that plain C struct, and sigemptyset makes it an empty one.
    let mut signals = unsafe { std::mem::zeroed() };
    // SAFETY: a pointer to a live set.
    unsafe { libc::sigemptyset(&raw mut signals) };
    for number in [signal(), libc::SIGIO] {
        // SAFETY: a valid set and a valid signal number.
        unsafe { libc::sigaddset(&raw mut signals, number) };
    }
    // Block the signals in this thread alone: other threads start programs without this mask.
    // SAFETY: a valid set; a null old set is allowed.
    let masked =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) };
    if masked != 0 {
        return;
    }
    let _gone = tid_sender.send(gettid().as_raw_nonzero().get());
    while !shared.is_stopping.load(Ordering::Acquire) {
        // The sender does not matter: the kernel reports which leases it wants back.
        // SAFETY: a valid set; a null info pointer is allowed.
        unsafe { libc::sigwaitinfo(&raw const signals, std::ptr::null_mut()) };
        shared.admit_writers();
    }
}

fn signal() -> libc::c_int {
    libc::SIGRTMIN()
}

/// Sets the receiving thread before the lease, because taking the lease would set the whole process as receiver.
fn take(file: &File, tid: i32) -> io::Result<()> {
    let owner = Owner {
        kind: F_OWNER_TID,
        id: tid,
    };
    // SAFETY: an open descriptor, and a pointer to the struct that this command reads.
    done(unsafe { libc::fcntl(file.as_raw_fd(), F_SETOWN_EX, &raw const owner) })?;
    // SAFETY: an open descriptor; the argument is a number.
    done(unsafe { libc::fcntl(file.as_raw_fd(), F_SETSIG, signal()) })?;
    // SAFETY: as above.
    done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) })
}

fn give_up(file: &File) {
    // SAFETY: an open descriptor; the argument is a number. It fails where the kernel took the lease back itself.
    let _gone = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
}

/// True if the lease is held and no process wants to write.
fn is_held(file: &File) -> bool {
    // SAFETY: an open descriptor; the command takes no argument.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) == libc::F_RDLCK }
}

fn done(returned: libc::c_int) -> io::Result<()> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
