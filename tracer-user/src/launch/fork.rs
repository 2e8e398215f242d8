//! fork and exec with a gate between them. Only this module forks.
//!
//! `std::process::Command` is unsuitable: its `spawn` returns only after the exec, and it resets the signal mask of the child. The child
//! allocates nothing and takes no lock, so forking would be correct even with several threads. It is called before any is started.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::caller::Identity;
use super::inherited;

/// The command that the child executes.
#[derive(Debug)]
pub(super) struct Image {
    /// Paths to try in order.
    pub(super) candidates: Vec<CString>,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    /// Identity to change to before the exec; `None` keeps the current one.
    pub(super) identity: Option<Identity>,
}

/// A waiting child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    /// Writing [`GO`] releases the child; closing the pipe ends it.
    pub(super) gate: OwnedFd,
    /// Contains [`FAILURE_LEN`] bytes if the child could not execute its command; empty on success.
    pub(super) verdict: File,
}

/// The byte that opens the gate.
pub(super) const GO: u8 = b'g';
/// Stage and errno.
pub(super) const FAILURE_LEN: usize = 5;
/// Exit code of a child whose gate was closed; only the process that closed it sees the code.
const GIVEN_UP: libc::c_int = 125;
const SHELL: &CStr = c"/bin/sh";

/// The stage at which the child failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Exec,
    Groups,
    Gid,
    Uid,
}

/// Parses the message of a failed child.
pub(super) fn failure(bytes: [u8; FAILURE_LEN]) -> (Stage, i32) {
    let [stage, errno @ ..] = bytes;
    let stage = match stage {
        b'g' => Stage::Groups,
        b'i' => Stage::Gid,
        b'u' => Stage::Uid,
        _ => Stage::Exec,
    };
    (stage, i32::from_ne_bytes(errno))
}

/// Forks a child that waits at its gate.
pub(super) fn hold(image: &Image) -> io::Result<Child> {
    let (gate_out, gate) = pipe_with(PipeFlags::CLOEXEC)?;
    let (verdict, verdict_in) = pipe_with(PipeFlags::CLOEXEC)?;
    let argv = pointers(&image.argv);
    // For a file that the kernel cannot execute (ENOEXEC), execvp runs the shell: `sh PATH ARGS...`.
    let mut shell_argv = vec![SHELL.as_ptr(), ptr::null()];
    shell_argv.extend(argv.iter().skip(1));
    let mut prepared = Prepared {
        gate: gate_out.as_raw_fd(),
        gate_in: gate.as_raw_fd(),
        verdict: verdict_in.as_raw_fd(),
        sigpipe: if inherited::sigpipe_was_ignored() {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        },
        candidates: image.candidates.iter().map(|path| path.as_ptr()).collect(),
        argv,
        shell_argv,
        env: pointers(&image.env),
        identity: image.identity.as_ref(),
    };
    // SAFETY: the child calls only async-signal-safe functions on memory prepared above, and ends in exec or _exit.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: this is the child of the fork, and nothing of the parent's stack is returned to.
        0 => unsafe { prepared.become_command() },
        pid => {
            let pid =
                Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork returned no process"))?;
            Ok(Child {
                pid,
                gate,
                verdict: File::from(verdict),
            })
        }
    }
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

/// All data for the child, prepared before the fork. The pointers refer to an [`Image`] that outlives it.
struct Prepared<'a> {
    gate: i32,
    gate_in: i32,
    verdict: i32,
    sigpipe: libc::sighandler_t,
    candidates: Vec<*const libc::c_char>,
    argv: Vec<*const libc::c_char>,
    /// The second element is reserved for the path of the script.
    shell_argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    identity: Option<&'a Identity>,
}

impl Prepared<'_> {
    /// Waits at the gate, then executes the command, or reports the failure.
    ///
    /// # Safety
    ///
    /// Must only be called in a new child.
    unsafe fn become_command(&mut self) -> ! {
        // SAFETY: a descriptor of this process that nothing uses afterwards. If the child kept it, it would never see the end of its
        // gate.
        unsafe { libc::close(self.gate_in) };
        if !self.wait() {
            // SAFETY: _exit runs no destructor and no exit handler of the parent's image.
            unsafe { libc::_exit(GIVEN_UP) };
        }
        if let Err((stage, errno)) = self.take_identity() {
            self.fail(stage, errno);
        }
        // SAFETY: restores one of the two plain dispositions; no handler is installed.
        unsafe { libc::signal(libc::SIGPIPE, self.sigpipe) };
        let errno = self.exec();
        self.fail(b'x', errno);
    }

    /// True if the gate was opened.
    fn wait(&self) -> bool {
        let mut byte = 0_u8;
        loop {
            // SAFETY: `byte` is one writable byte.
            let n = unsafe { libc::read(self.gate, (&raw mut byte).cast(), 1) };
            if n >= 0 || errno() != libc::EINTR {
                return n == 1 && byte == GO;
            }
        }
    }

    fn take_identity(&self) -> Result<(), (u8, i32)> {
        let Some(Identity { uid, gid, groups }) = self.identity else {
            return Ok(());
        };
        // The order matters: after setuid, the other two calls are not permitted.
        // SAFETY: pointer and length describe one slice of `gid_t`.
        if unsafe { libc::setgroups(groups.len(), groups.as_ptr()) } != 0 {
            return Err((b'g', errno()));
        }
        // SAFETY: plain integers. There is one thread, so libc has no other thread to update.
        if unsafe { libc::setresgid(*gid, *gid, *gid) } != 0 {
            return Err((b'i', errno()));
        }
        // SAFETY: as above.
        if unsafe { libc::setresuid(*uid, *uid, *uid) } != 0 {
            return Err((b'u', errno()));
        }
        Ok(())
    }

    /// Tries each candidate as execvp does; returns the errno to report.
    fn exec(&mut self) -> i32 {
        let mut verdict = libc::ENOENT;
        for &path in &self.candidates {
            // SAFETY: NUL-terminated strings and null-terminated arrays that live as long as the image.
            unsafe { libc::execve(path, self.argv.as_ptr(), self.env.as_ptr()) };
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                // Another directory may contain an executable file.
                libc::EACCES => verdict = libc::EACCES,
                libc::ENOEXEC => {
                    if let Some(script) = self.shell_argv.get_mut(1) {
                        *script = path;
                    }
                    // SAFETY: as above.
                    unsafe {
                        libc::execve(SHELL.as_ptr(), self.shell_argv.as_ptr(), self.env.as_ptr())
                    };
                    return errno();
                }
                other => return other,
            }
        }
        verdict
    }

    fn fail(&self, stage: u8, errno: i32) -> ! {
        let [a, b, c, d] = errno.to_ne_bytes();
        let message = [stage, a, b, c, d];
        // SAFETY: pointer and length describe the array; a pipe takes so few bytes whole.
        unsafe { libc::write(self.verdict, message.as_ptr().cast(), message.len()) };
        // SAFETY: as above.
        unsafe { libc::_exit(GIVEN_UP) }
    }
}

fn errno() -> i32 {
    // SAFETY: takes nothing and only returns an address.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: that address is valid for the calling thread for all its life.
    unsafe { *location }
}
