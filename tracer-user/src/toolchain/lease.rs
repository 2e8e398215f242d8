//! Read leases on probed files: whoever begins to write to one waits in the kernel until its probes are off.
//!
//! A lease is asked back by a signal to one thread, which takes the probes off and gives the lease up; it waits for nobody but the
//! kernel, in particular not for the loop. Who puts probes on again, and when, is not known here. What kernels do with leases is in
//! `docs/kernel-facts.md`.

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

// Of `include/uapi/asm-generic/fcntl.h`; `libc` has them for some targets only.
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;
const F_OWNER_TID: libc::c_int = 0;

/// `struct f_owner_ex` of the same file.
#[repr(C)]
struct Owner {
    kind: libc::c_int,
    id: libc::pid_t,
}

/// Whether writers wait until the probes of a file are off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// They do.
    Lease,
    /// The file is another user's, and `CAP_LEASE` is missing: what is written over is noticed a moment later.
    NotPermitted,
    /// Its file system or the whole kernel grants no leases: the same.
    Unsupported,
}

/// Whether this process may take leases on files of others.
pub fn may_lease() -> bool {
    capabilities(None).is_ok_and(|it| it.effective.contains(CapabilitySet::LEASE))
}

/// Somebody has the file open for writing now.
#[derive(Debug)]
pub(super) struct OpenForWriting;

/// Leases that are held, and the thread that gives them up.
pub(super) struct Leases {
    shared: Arc<Shared>,
    /// The thread's number, to which the kernel sends.
    tid: i32,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// By target. Whoever has the lock keeps leases from being given up.
    held: Mutex<LeasedFiles>,
    is_stopping: AtomicBool,
    probed: Probed,
}

type LeasedFiles = BTreeMap<u32, Arc<File>>;

/// As long as this lives no lease is given up: whoever wants to write goes on waiting.
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

    /// Whether this lease is held still, or was given up because somebody wanted to write.
    pub(super) fn has(&self, target: u32) -> bool {
        self.held.contains_key(&target)
    }

    /// Gives up a lease that is of no use any more.
    pub(super) fn give_up(&mut self, target: u32) {
        if let Some(file) = self.held.remove(&target) {
            give_up(&file);
        }
    }

    /// Gives up all.
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

    /// Takes the probes off each file that somebody waits to write to, and then lets him.
    fn admit_writers(&self) {
        let wanted = |_: &u32, file: &mut Arc<File>| !is_held(file);
        let broken: Vec<_> = self.lock().extract_if(.., wanted).collect();
        thread::scope(|scope| {
            for (target, file) in &broken {
                let admit = move || {
                    self.probed.release(*target);
                    give_up(file);
                };
                // Letting go of a file waits for the kernel, some 60 ms: all at once wait no longer.
                if thread::Builder::new()
                    .name("letting go".to_owned())
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

/// The thread's life. A real-time signal is queued, so none is lost while others are seen to; where the queue is full the kernel sends
/// SIGIO.
fn run(shared: &Shared, tid_sender: &SyncSender<i32>) {
    // SAFETY: an all-zero set is a valid value of that plain C struct, and sigemptyset makes it an empty one.
    let mut signals = unsafe { std::mem::zeroed() };
    // SAFETY: a pointer to a live set.
    unsafe { libc::sigemptyset(&raw mut signals) };
    for number in [signal(), libc::SIGIO] {
        // SAFETY: a valid set and a valid signal number.
        unsafe { libc::sigaddset(&raw mut signals, number) };
    }
    // Of this thread alone: what is started by others begins without it.
    // SAFETY: a valid set; a null old set is allowed.
    let masked =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) };
    if masked != 0 {
        return;
    }
    let _gone = tid_sender.send(gettid().as_raw_nonzero().get());
    while !shared.is_stopping.load(Ordering::Acquire) {
        // Whoever sent it and whatever for: which leases are wanted back is asked of the kernel.
        // SAFETY: a valid set; nobody wants to know more of the signal.
        unsafe { libc::sigwaitinfo(&raw const signals, std::ptr::null_mut()) };
        shared.admit_writers();
    }
}

fn signal() -> libc::c_int {
    libc::SIGRTMIN()
}

/// Who is told comes before the lease: taking it would make that this process as a whole.
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

/// Whether it is held and nobody wants to write.
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
