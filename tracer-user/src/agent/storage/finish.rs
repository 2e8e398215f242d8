//! The shutdown: writes and sends the queued builds as far as time permits, and marks running builds as cut off.

use std::thread;
use std::time::{Duration, Instant};

use super::service::StorageService;
use crate::history::Store;
use crate::log::Level;

/// Time for the history to write its queue.
const FLUSH: Duration = Duration::from_secs(2);

impl StorageService<'_> {
    /// Ends before the deadline. `n_dropped` builds were dropped by the observer.
    pub(super) fn finish(mut self, deadline: Instant, n_dropped: u64) -> anyhow::Result<()> {
        if self.tally.is_news {
            self.write_tally();
        }
        let Self {
            config,
            writer,
            forwarder,
            pages,
            outputs,
            log,
            lock,
            ..
        } = self;
        outputs.ask_to_end(deadline);
        thread::scope(|scope| {
            // Requests in progress may take a while.
            scope.spawn(move || drop(pages));
            let is_written = writer.flush(FLUSH);
            let counts = writer.counts();
            let n_unwritten = if is_written { 0 } else { counts.waiting };
            let n_cut_off = if is_written {
                drop(writer);
                Store::open(&config.store)?.recover()?
            } else {
                log.warn(
                    "the history could not be written in time; the next start of gotrace marks running builds as cut off",
                );
                writer.abandon();
                0
            };
            if let Some(forwarder) = forwarder {
                let delivered = forwarder.finish(deadline);
                if delivered.waiting > 0 {
                    log.warn(format_args!(
                        "{} builds are not delivered yet; the next start of gotrace delivers them",
                        delivered.waiting
                    ));
                }
            }
            for (name, counts) in outputs.finish(deadline) {
                let n_given_up = counts.failed + counts.dropped;
                if n_given_up + counts.waiting > 0 {
                    log.warn(format_args!(
                        "{name}: {} delivered, {n_given_up} given up, {} not delivered yet",
                        counts.sent, counts.waiting
                    ));
                }
            }
            let stored = counts.stored;
            let dropped = counts.dropped + counts.failed + n_unwritten + n_dropped;
            log.with(
                Level::Info,
                format_args!(
                    "ended: {stored} builds stored, {n_cut_off} running builds marked as cut off, {dropped} dropped"
                ),
                &[
                    ("stored", stored.into()),
                    ("cut_off", n_cut_off.into()),
                    ("dropped", dropped.into()),
                ],
            );
            // From here on, another agent may write the history.
            drop(lock);
            Ok(())
        })
    }
}
