//! A parent that logs the kernel's accounting of its child, and a child that allocates memory.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::mem::{self, MaybeUninit};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const PAGE: usize = 4096;

/// Runs a command, appends its results to the file, and returns its exit code. A line contains the process id, CPU time in ns,
/// largest resident set in bytes, and boot clock in ns.
pub(crate) fn wait_for(file: &str, command: &[String]) -> io::Result<u8> {
    let (program, args) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let child = Command::new(program).args(args).spawn()?;
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    let mut status = 0;
    // SAFETY: nothing else waits for this child, and both pointers are valid for writing.
    if unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } != pid {
        return Err(io::Error::last_os_error());
    }
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // SAFETY: the call succeeded, so it filled the structure.
    let usage = unsafe { usage.assume_init() };
    let micros = |it: libc::timeval| it.tv_sec * 1_000_000 + it.tv_usec;
    let line = format!(
        "{pid} {} {} {}\n",
        (micros(usage.ru_utime) + micros(usage.ru_stime)) * 1000,
        usage.ru_maxrss * 1024,
        now.tv_sec * 1_000_000_000 + now.tv_nsec,
    );
    // One write per line: many processes append at once.
    let mut file = File::options().create(true).append(true).open(file)?;
    file.write_all(line.as_bytes())?;
    let code = if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    };
    u8::try_from(code).map_err(io::Error::other)
}

/// Allocates and keeps this much memory, then executes the command, if any.
pub(crate) fn take_memory(mib: usize, command: &[String]) -> io::Result<()> {
    let mut taken = vec![0_u8; mib << 20];
    for byte in taken.iter_mut().step_by(PAGE) {
        *byte = 1;
    }
    // The kernel frees the memory at exit.
    mem::forget(black_box(taken));
    match command.split_first() {
        Some((program, args)) => Err(Command::new(program).args(args).exec()),
        None => Ok(()),
    }
}
