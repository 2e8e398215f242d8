//! Writes each event to a recording before the core applies it. A write error ends the recording, never the trace.

use std::fs::File;
use std::io::{self, BufWriter};

use tracer_core::correlate::Context;
use tracer_core::event::Event;
use tracer_core::recording::{About, Detail, Header, Writer};

use crate::proc;

/// The first line of a new recording.
pub fn header(context: Context, detail: Detail) -> Header {
    let uname = rustix::system::uname();
    Header::new(About {
        gotrace: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        cpus: context.cpus,
        page_size: proc::page_size(),
        boot_to_wall_ns: context.boot_to_wall_ns,
        command: context.command,
        detail,
        renames: context.renames,
        host: context.host,
    })
}

/// An open recording.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer<BufWriter<File>>,
    n_events: u64,
    failure: Option<io::Error>,
}

impl Recorder {
    pub fn new(file: File, header: &Header) -> io::Result<Self> {
        Ok(Self {
            writer: Writer::new(BufWriter::new(file), header)?,
            n_events: 0,
            failure: None,
        })
    }

    pub(super) fn record(&mut self, event: &Event) {
        if self.failure.is_some() {
            return;
        }
        match self.writer.event(event) {
            Ok(()) => self.n_events += 1,
            Err(error) => self.failure = Some(error),
        }
    }

    /// Ends the recording. Returns its number of events.
    pub fn finish(self) -> io::Result<u64> {
        let Self {
            writer,
            n_events,
            failure,
        } = self;
        if let Some(error) = failure {
            return Err(error);
        }
        writer
            .finish()?
            .into_inner()?
            .sync_all()
            .or_else(|error| match error.raw_os_error() {
                // Pipes and terminals cannot be synced.
                Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP) => Ok(()),
                _ => Err(error),
            })?;
        Ok(n_events)
    }
}
