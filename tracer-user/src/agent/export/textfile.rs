//! The metrics as a file for `node_exporter`'s textfile collector, on machines that are already scraped.
//!
//! `metrics` provides the content. The whole file is replaced periodically and at the end. Samples have no timestamps.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rustix::fs::{Access, Mode};

use super::Counts;
use crate::agent::metrics::{Format, Metrics, Reader};
use crate::atomic_file::{Durability, replace};
use crate::clock;
use crate::config::Key;
use crate::log::Log;
use crate::worker::{Jobs, Next, Worker};

pub use crate::config::textfile::TextfileSettings;

const NAME: &str = "gotrace.prom";
/// The collector runs as another user.
const MODE: u32 = 0o644;

/// The output for a file.
#[derive(Debug)]
pub struct Textfile(Worker<Infallible>);

impl Textfile {
    /// Writes the file once, and then periodically on a thread.
    pub fn start(
        settings: &TextfileSettings,
        metrics: Arc<Metrics>,
        log: Log,
    ) -> anyhow::Result<Self> {
        prepare(settings)?;
        let TextfileSettings {
            directory,
            every_seconds,
        } = settings.clone();
        write(&directory, &metrics, false).context(Key("textfile.directory"))?;
        let every = Duration::from_secs(u64::from(every_seconds));
        let worker = Worker::start("textfile", 0, move |jobs| {
            work(jobs, every, &directory, &metrics, &log);
        });
        Ok(Self(worker.context("cannot start a thread")?))
    }

    /// Requests the end, without waiting.
    pub(super) fn ask_to_end(&self, deadline: Instant) {
        self.0.ask_to_end(deadline);
    }

    pub fn counts(&self) -> Counts {
        self.0.counts()
    }

    /// Writes the file for the last time.
    pub fn finish(self, deadline: Instant) -> Counts {
        self.0.finish(deadline)
    }
}

/// Checks everything that a start needs, without writing the file.
pub(super) fn prepare(settings: &TextfileSettings) -> anyhow::Result<()> {
    let TextfileSettings {
        directory,
        every_seconds,
    } = settings;
    if *every_seconds == 0 {
        return Err(anyhow!("give a number of seconds from 1"))
            .context(Key("textfile.every_seconds"));
    }
    let usable = fs::metadata(directory).and_then(|it| {
        if it.is_dir() {
            Ok(rustix::fs::access(directory, Access::WRITE_OK)?)
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    });
    usable
        .with_context(|| unwritable(directory))
        .context(Key("textfile.directory"))
}

fn work(jobs: &Jobs<Infallible>, every: Duration, directory: &Path, metrics: &Metrics, log: &Log) {
    let mut is_well = true;
    loop {
        let next = jobs.next(every);
        let is_last = match next {
            Next::Job(never) => match never {},
            Next::Idle => false,
            Next::End(_) => true,
        };
        match write(directory, metrics, is_last) {
            Ok(()) => {
                jobs.sent(1);
                if !is_well {
                    log.info(format_args!("writing {NAME} works again"));
                }
                is_well = true;
            }
            Err(error) => {
                jobs.failed(1);
                if is_well {
                    log.warn(format_args!(
                        "{error:#}; gotrace retries every {} s",
                        every.as_secs()
                    ));
                }
                is_well = false;
            }
        }
        if is_last {
            return;
        }
    }
}

fn write(directory: &Path, metrics: &Metrics, is_last: bool) -> anyhow::Result<()> {
    let at = Duration::from_nanos(clock::boot_ns());
    let reader = Reader::File { at, is_last };
    let page = metrics.page(Format::Text, clock::wall_ns(), reader)?;
    put(directory, &page)
}

/// Writes a page. The error contains a remedy.
pub fn put(directory: &Path, page: &str) -> anyhow::Result<()> {
    let mode = Mode::from(MODE);
    let written = replace(directory, NAME, mode, Durability::Process, page.as_bytes());
    written.with_context(|| unwritable(directory))
}

/// The message for a directory that cannot be written, with a remedy.
fn unwritable(directory: &Path) -> String {
    let what_to_do = match fs::metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "make that directory, or name the one that node_exporter was given with \
             --collector.textfile.directory"
        }
        Ok(metadata) if !metadata.is_dir() => "that is not a directory: name one",
        Ok(_) | Err(_) => "see that there is room and that gotrace may write there",
    };
    format!(
        "cannot write {NAME} to {}; {what_to_do}",
        directory.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_directory_is_reported_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let metrics = Arc::new(Metrics::new(Duration::from_hours(1)).unwrap());
        for (directory, hint) in [
            (dir.path().join("absent"), "make that directory"),
            (file, "not a directory: name one"),
        ] {
            let settings = TextfileSettings {
                directory,
                every_seconds: 15,
            };
            let error =
                Textfile::start(&settings, Arc::clone(&metrics), Log::to(|_| {})).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(hint), "{error}");
        }
    }
}
