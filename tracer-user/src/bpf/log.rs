//! Prints the log of kernel programs on stderr. Only for development; the programs of the committed object do not log.

use std::io::{self, Write as _};
use std::thread;

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, poll};

use super::error::{self, SetupError};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // A closed stderr is ignored.
        let _closed = writeln!(io::stderr().lock(), "kernel: {}", record.args());
    }

    fn flush(&self) {}
}

/// Prints the log of this object's programs from now on, until this process ends.
pub(super) fn show(ebpf: &mut Ebpf) -> Result<(), SetupError> {
    let mut logger = EbpfLogger::init_with_logger(ebpf, Stderr)
        .map_err(|source| error::kernel("read the log of the BPF programs", source))?;
    let follow = move || {
        loop {
            let mut fds = [PollFd::new(&logger, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => logger.flush(),
                Err(_) => return,
            }
        }
    };
    let thread = thread::Builder::new().name("kernel-log".to_owned());
    thread
        .spawn(follow)
        .map(|_| ())
        .map_err(|source| error::kernel("start a thread", source))
}
