//! The end: what is queued is written and sent as far as there is time, and builds that go on without being followed are marked.

use std::thread;
use std::time::{Duration, Instant};

use super::books::Books;
use crate::history::Store;

/// How long the history has to write what is queued.
const FLUSH: Duration = Duration::from_secs(2);

impl Books<'_> {
    /// Ends by then. `n_dropped`: builds that never got here.
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
            tell,
            alone,
            ..
        } = self;
        outputs.ask_to_end(deadline);
        thread::scope(|scope| {
            // Whoever is being answered may take a while.
            scope.spawn(move || drop(pages));
            let is_written = writer.flush(FLUSH);
            let counts = writer.counts();
            let n_unwritten = if is_written { 0 } else { counts.waiting };
            let n_cut_off = if is_written {
                drop(writer);
                Store::open(&config.store)?.recover()?
            } else {
                tell(
                    "the history could not be written in time; what is under way is marked when gotrace runs again",
                );
                writer.abandon();
                0
            };
            if let Some(forwarder) = forwarder {
                let delivered = forwarder.finish(deadline);
                if delivered.waiting > 0 {
                    tell(&format!(
                        "{} builds wait to be delivered when gotrace runs again",
                        delivered.waiting
                    ));
                }
            }
            for (name, counts) in outputs.finish(deadline) {
                let n_given_up = counts.failed + counts.dropped;
                if n_given_up + counts.waiting > 0 {
                    tell(&format!(
                        "{name}: {} delivered, {n_given_up} given up, {} not delivered yet",
                        counts.sent, counts.waiting
                    ));
                }
            }
            tell(&format!(
                "ended: {} builds stored, {} under way marked cut off, {} dropped",
                counts.stored,
                n_cut_off,
                counts.dropped + counts.failed + n_unwritten + n_dropped
            ));
            // Only now may another write it.
            drop(alone);
            Ok(())
        })
    }
}
