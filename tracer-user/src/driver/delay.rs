//! The delay of the loop: the time between a record and its processing. After a long delay, the processes to inspect have
//! ended; after a longer one, the ring is full.

use std::time::{Duration, Instant};

use tracer_core::event::{Event, Ktime};

/// Length of an interval. Delays are reported for one to two intervals, so one scrape a minute misses none.
const SPAN: Duration = Duration::from_mins(1);

/// The longest recent delay.
#[derive(Debug)]
pub(super) struct Delay {
    since: Instant,
    /// Longest delays of the current and of the previous interval, in nanoseconds.
    now: u64,
    before: u64,
}

impl Delay {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            now: 0,
            before: 0,
        }
    }

    /// Records that an event is processed at the instant `at`.
    pub(super) fn take(&mut self, event: &Event, at: Ktime) {
        let event_at = match event {
            Event::Exec(exec) => exec.at,
            Event::Exit(exit) => exit.at,
            // These events require no inspection of a process, so most may wait. Some do not come from the kernel.
            Event::Fork(_)
            | Event::Reaped(_)
            | Event::Rename(_)
            | Event::Call(_)
            | Event::Lineage(_)
            | Event::Tool(_)
            | Event::Settings(_)
            | Event::ResponseFile(_)
            | Event::Inspected(_)
            | Event::CheckedOut(_)
            | Event::BuildInfo(_)
            | Event::Lost(_)
            | Event::Unreadable(_) => return,
        };
        self.now = self.now.max(at.0.saturating_sub(event_at.0));
    }

    /// Longest delay of the last one to two minutes, in nanoseconds.
    pub(super) fn longest_ns(&mut self, now: Instant) -> u64 {
        if now.duration_since(self.since) >= SPAN {
            self.since = now;
            self.before = std::mem::take(&mut self.now);
        }
        self.now.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use tracer_core::event::{Exit, ProcKey, Status, Tgid, Usage};

    use super::*;

    #[test]
    fn the_longest_delay_is_reported_for_one_to_two_minutes() {
        let exit = |at| {
            Event::Exit(Exit {
                at: Ktime(at),
                process: ProcKey {
                    tgid: Tgid(1),
                    born: Ktime(1),
                },
                status: Status::Code(0),
                usage: Usage::default(),
                is_oom_victim: false,
            })
        };
        let start = Instant::now();
        let mut delay = Delay::new(start);
        assert_eq!(delay.longest_ns(start), 0);
        delay.take(&exit(10), Ktime(17));
        delay.take(&exit(20), Ktime(23));
        // The clock was read before the record was written.
        delay.take(&exit(30), Ktime(29));
        assert_eq!(delay.longest_ns(start), 7);
        assert_eq!(delay.longest_ns(start + SPAN), 7);
        delay.take(&exit(30), Ktime(35));
        assert_eq!(delay.longest_ns(start + SPAN), 7);
        assert_eq!(delay.longest_ns(start + 2 * SPAN), 5);
        assert_eq!(delay.longest_ns(start + 3 * SPAN), 0);
    }
}
