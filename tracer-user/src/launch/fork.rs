//! fork and exec with a gate between them. The only place that forks.
//!
//! `std::process::Command` cannot do it: its `spawn` returns only after the exec, and it resets the signal mask of the child.
//! The child allocates nothing and takes no lock, so it would be right even after a thread had been started; it is called before.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::caller::Identity;
use super::inherited;

/// What the child becomes.
#[derive(Debug)]
pub(super) struct Image {
    /// Paths to try in turn.
    pub(super) candidates: Vec<CString>,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    /// Whom to become before; `None`: stay who we are.
    pub(super) identity: Option<Identity>,
}

/// A child that waits.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    /// Writing [`GO`] lets it go; closing it ends it.
    pub(super) gate: OwnedFd,
    /// Reads as [`FAILURE_LEN`] bytes if it could not become its command, as empty if it could.
    pub(super) verdict: File,
}

/// The byte that opens the gate.
pub(super) const GO: u8 = b'g';
/// Stage and errno.
pub(super) const FAILURE_LEN: usize = 5;
/// Exit code of a child whose gate was closed: nobody sees it but the one who closed it.
const GIVEN_UP: libc::c_int = 125;
const SHELL: &CStr = c"/bin/sh";

/// Where the child failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Exec,
    Groups,
    Gid,
    Uid,
}

/// What the child wrote when it failed.
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
    // For a file the kernel cannot execute (ENOEXEC) execvp takes the shell: `sh PATH ARGS...`.
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

/// All that the child needs, made before the fork. The pointers lead into an [`Image`] that outlives it.
struct Prepared<'a> {
    gate: i32,
    gate_in: i32,
    verdict: i32,
    sigpipe: libc::sighandler_t,
    candidates: Vec<*const libc::c_char>,
    argv: Vec<*const libc::c_char>,
    /// With an empty second place for the path of the script.
    shell_argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    identity: Option<&'a Identity>,
}

impl Prepared<'_> {
    /// Waits at the gate, then becomes the command or reports why not.
    ///
    /// # Safety
    ///
    /// To be called in a fresh child only.
    unsafe fn become_command(&mut self) -> ! {
        // SAFETY: a descriptor of this process that nothing uses afterwards. While the child held it, it would never see the end
        // of its gate.
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

    /// Whether the gate opened.
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
        // The order matters: after setuid the other two are no longer allowed.
        // SAFETY: pointer and length describe one slice of `gid_t`.
        if unsafe { libc::setgroups(groups.len(), groups.as_ptr()) } != 0 {
            return Err((b'g', errno()));
        }
        // SAFETY: plain integers. There is one thread, so libc has no other to tell.
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
                // Another directory may hold one that can be executed.
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
