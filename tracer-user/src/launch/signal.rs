//! Signals as a pollable descriptor, with their senders: a signal that was sent to gotrace alone is meant for the command.
//!
//! The terminal sends ^C to the whole foreground group, including the command. Forwarding it would send it twice. Only the siginfo
//! distinguishes the two cases, so this module uses a signalfd and no handler.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{Signal, getpid, kill_process};

/// Signals that end a program or have a program-defined meaning, and the suspend key. gotrace stops only after the command has stopped.
/// Otherwise a shell would take the terminal back while the command may still read a key from it.
const TAKEN: [i32; 8] = [
    libc::SIGTSTP,
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCHLD,
];

/// A value proves that those signals wait to be read instead of having their effect. Dropping it undoes this.
#[derive(Debug)]
pub struct Signals {
    file: File,
    mask_before: libc::sigset_t,
}

/// One signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A child ended, stopped or continued.
    Child,
    /// A process sent this signal to gotrace.
    FromProcess { number: i32, sender: u32 },
    /// The kernel sent this signal to the whole group: a key was pressed or the terminal disappeared.
    FromKernel { number: i32 },
}

impl Signals {
    /// Takes the signals, for this thread and the threads that it starts.
    pub fn take() -> io::Result<Self> {
        let mut taken = empty_set();
        for number in TAKEN {
            // SAFETY: a valid set and a valid signal number.
            unsafe { libc::sigaddset(&raw mut taken, number) };
        }
        let mut mask_before = empty_set();
        // SAFETY: both sets are valid for the time of the call.
        let masked = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const taken, &raw mut mask_before)
        };
        if masked != 0 {
            return Err(io::Error::from_raw_os_error(masked));
        }
        // If the parent ignored SIGCHLD, the kernel would reap our child and discard its status.
        // SAFETY: restores the default; no handler is installed.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        // SAFETY: a valid set; -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const taken, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and has no other owner.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            file: File::from(fd),
            mask_before,
        })
    }

    /// Returns the next pending signal, if any.
    pub fn read(&mut self) -> io::Result<Option<Received>> {
        let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        // SAFETY: the array has the size of the struct, and any bits are a valid value of its integers.
        let info: libc::signalfd_siginfo = unsafe { std::mem::transmute(bytes) };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        let sender = info.ssi_pid;
        Ok(Some(match number {
            libc::SIGCHLD => Received::Child,
            // kill(2), tgkill(2) and sigqueue(3) give zero or less, the kernel more.
            number if info.ssi_code <= 0 => Received::FromProcess { number, sender },
            number => Received::FromKernel { number },
        }))
    }
}

/// Stops this process by a stop signal, even if the signal is taken. Returns when the process is continued.
pub fn stop(signal: Signal) {
    // Send first, then unblock: if the signal is already pending, it is still delivered once.
    let _not_stopped = kill_process(getpid(), signal);
    let mut this = empty_set();
    // SAFETY: a valid set and a valid signal number.
    unsafe { libc::sigaddset(&raw mut this, signal.as_raw()) };
    let mut before = empty_set();
    // SAFETY: both sets are valid for the time of the call.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const this, &raw mut before) };
    // SAFETY: the set was filled by the call before; a null old set is allowed.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Unread signals were meant for the time of the command, and would end gotrace now.
        while let Ok(Some(_)) = self.read() {}
        // SAFETY: the set was filled by pthread_sigmask; a null old set is allowed.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.mask_before,
                std::ptr::null_mut(),
            )
        };
    }
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: an all-zero set is a valid value of that plain C struct, and sigemptyset makes it an empty one.
    let mut set = unsafe { std::mem::zeroed() };
    // SAFETY: a pointer to a live set.
    unsafe { libc::sigemptyset(&raw mut set) };
    set
}
