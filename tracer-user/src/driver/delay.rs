//! How late the loop is: the time from a record to when it is taken. Late enough, and the processes are gone that are to be looked at;
//! later, and the ring is full.

use std::time::{Duration, Instant};

use tracer_core::event::{Event, Ktime};

/// What is older than two of these is not told any more. Whoever scrapes once a minute misses nothing.
const SPAN: Duration = Duration::from_mins(1);

/// The longest delay of late.
#[derive(Debug)]
pub(super) struct Delay {
    since: Instant,
    /// Of the span that has begun and of the one before it: nanoseconds.
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

    /// An event is taken now, at `at` of its own clock.
    pub(super) fn take(&mut self, event: &Event, at: Ktime) {
        let told = match event {
            Event::Exec(exec) => exec.at,
            Event::Exit(exit) => exit.at,
            // Nothing has to be looked up in a process because of these, so most may wait; or the kernel does not tell them.
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
        self.now = self.now.max(at.0.saturating_sub(told.0));
    }

    /// The longest of the last one to two minutes, in nanoseconds.
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
    fn the_longest_is_told_for_a_minute_or_two() {
        let exit = |at| {
            Event::Exit(Exit {
                at: Ktime(at),
                process: ProcKey {
                    tgid: Tgid(1),
                    born: Ktime(1),
                },
                status: Status::Code(0),
                usage: Usage::default(),
            })
        };
        let start = Instant::now();
        let mut delay = Delay::new(start);
        assert_eq!(delay.longest_ns(start), 0);
        delay.take(&exit(10), Ktime(17));
        delay.take(&exit(20), Ktime(23));
        // A clock that was read before the record was written.
        delay.take(&exit(30), Ktime(29));
        assert_eq!(delay.longest_ns(start), 7);
        assert_eq!(delay.longest_ns(start + SPAN), 7);
        delay.take(&exit(30), Ktime(35));
        assert_eq!(delay.longest_ns(start + SPAN), 7);
        assert_eq!(delay.longest_ns(start + 2 * SPAN), 5);
        assert_eq!(delay.longest_ns(start + 3 * SPAN), 0);
    }
}
