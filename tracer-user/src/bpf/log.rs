//! What kernel programs say that were built to say it, on stderr. For who works on them; the committed object says nothing.

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
        // When stderr is closed there is nobody to tell.
        let _closed = writeln!(io::stderr().lock(), "kernel: {}", record.args());
    }

    fn flush(&self) {}
}

/// Shows from now on what the programs of this object say, as long as this process runs.
pub(super) fn show(ebpf: &mut Ebpf) -> Result<(), SetupError> {
    let mut logger = EbpfLogger::init_with_logger(ebpf, Stderr)
        .map_err(|source| error::kernel("read what the programs say", source))?;
    let follow = move || {
        loop {
            let mut said = [PollFd::new(&logger, PollFlags::IN)];
            match poll(&mut said, None) {
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
