//! Signals as something to poll for, with who sent them: what was sent to gotrace alone is meant for the command.
//!
//! The terminal sends ^C to the whole foreground group, hence to the command too; passing that on would make two of one.
//! Only the siginfo tells the difference, so this is a signalfd and no handler.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{Signal, getpid, kill_process};

/// Signals that end a program or have a meaning it chose, and the suspend key. That one stops the command, and only then, because
/// it stopped, us: a shell that saw us stop first would have the terminal while the command may still take a key from it.
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

/// Having one means that those signals wait to be read instead of having their effect. Dropping it undoes that.
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
    /// A process sent this to us.
    FromProcess { number: i32, sender: u32 },
    /// The kernel sent this: a key was pressed or the terminal went away, and the whole group was told.
    FromKernel { number: i32 },
}

impl Signals {
    /// Takes the signals, for this thread and those it will start.
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
        // A caller that ignores SIGCHLD would have the kernel reap our child, status and all.
        // SAFETY: restores the default; no handler is installed.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        // SAFETY: a valid set; -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const taken, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            file: File::from(fd),
            mask_before,
        })
    }

    /// The next signal that has arrived, if any.
    pub fn read(&mut self) -> io::Result<Option<Received>> {
        let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        // SAFETY: as many bytes as the struct has, and any bits are a valid value of its integers.
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

/// Stops this process by a signal that stops, also if it is taken. Returns when it is continued.
pub fn stop(signal: Signal) {
    // First sent, then let through: if it waits already, it still comes once.
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
        // What nobody read was meant for the time of the command and would end us now.
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
