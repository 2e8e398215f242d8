//! The backlog of the storage process: unsent requests, and traces that were sent but not stored yet.
//!
//! After a crash of the storage process, the next one receives the whole backlog again. Builds beyond the limits are
//! dropped and counted. This module is pure: it starts no process and does no input or output.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tracer_core::event::ProcKey;

/// Number of crashes after which the oldest unstored trace is dropped. Otherwise no other trace would ever be stored.
const MAX_CRASHES: u32 = 8;
/// Maximum number of builds in the backlog, sent or unsent.
const MAX_BUILDS: usize = 1024;
/// Maximum size of these builds in bytes. A single trace may be larger.
const MAX_BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Item>,
    /// Traces that were sent and are not stored yet, oldest first.
    sent: VecDeque<EndedTrace>,
    /// Requests of running builds, by process.
    under_way: BTreeMap<ProcKey, Bytes>,
    /// The unsent status of the observer. Only the newest one is sent.
    status: Option<Bytes>,
    /// The final request, once the shutdown has begun.
    end: Option<Bytes>,
    /// Builds of the traces in the backlog.
    n_builds: usize,
    n_bytes: usize,
    /// Number of the last trace that was sent.
    last_sent: u64,
    n_dropped: u64,
}

#[derive(Debug)]
enum Item {
    /// A request that is sent once, only to the current storage process.
    Control(Bytes),
    Begun(ProcKey),
    Ended(EndedTrace),
    Status,
}

/// A trace whose builds have ended.
#[derive(Clone, Debug)]
struct EndedTrace {
    n: u64,
    n_builds: usize,
    processes: Vec<ProcKey>,
    frame: Bytes,
    /// Number of storage processes that received the trace.
    n_sent: u32,
}

impl Backlog {
    /// Prepares the backlog for a new storage process. After the requests in `first`, it receives everything that the
    /// previous process may not have stored.
    pub(super) fn restart(&mut self, first: impl IntoIterator<Item = Bytes>) {
        if let Some(first) = self.sent.front()
            && first.n_sent >= MAX_CRASHES
        {
            let (n, n_builds) = (first.n, first.n_builds);
            self.stored(n);
            self.drop_builds(n_builds);
        }
        let before = std::mem::take(&mut self.waiting);
        let sent = std::mem::take(&mut self.sent);
        let requests = first.into_iter().map(Item::Control);
        let begun = self.under_way.keys().copied().map(Item::Begun);
        self.waiting = requests
            .chain(begun)
            .chain(sent.into_iter().map(Item::Ended))
            .collect();
        // Control requests were meant for the previous process. The running builds are already in the queue.
        let unsent = before.into_iter().filter_map(|it| match it {
            Item::Ended(it) => Some(Item::Ended(it)),
            Item::Control(_) | Item::Begun(_) | Item::Status => None,
        });
        self.waiting.extend(unsent);
        if self.status.is_some() {
            self.waiting.push_back(Item::Status);
        }
        self.waiting.extend(self.end.clone().map(Item::Control));
    }

    /// Number of the last trace that any storage process received.
    pub(super) fn last_sent(&self) -> u64 {
        self.last_sent
    }

    pub(super) fn control(&mut self, frame: Bytes) {
        self.waiting.push_back(Item::Control(frame));
    }

    /// Adds the final request.
    pub(super) fn end(&mut self, frame: Bytes) {
        self.end = Some(frame.clone());
        self.control(frame);
    }

    pub(super) fn status(&mut self, frame: Bytes) {
        if self.status.replace(frame).is_none() {
            self.waiting.push_back(Item::Status);
        }
    }

    pub(super) fn begun(&mut self, process: ProcKey, frame: Bytes) {
        self.under_way.insert(process, frame);
        self.waiting.push_back(Item::Begun(process));
    }

    /// Removes a running build, because it has ended.
    pub(super) fn build_ended(&mut self, process: ProcKey) {
        self.under_way.remove(&process);
    }

    /// Adds a trace with `n_builds` builds by these processes. Returns false if the trace was dropped for lack of space.
    pub(super) fn ended(
        &mut self,
        n: u64,
        n_builds: usize,
        processes: Vec<ProcKey>,
        frame: Bytes,
    ) -> bool {
        let is_full = self.n_builds >= MAX_BUILDS
            || (self.n_bytes > 0 && self.n_bytes.saturating_add(frame.len()) > MAX_BYTES);
        if is_full {
            self.drop_builds(n_builds);
            return false;
        }
        self.n_builds += n_builds;
        self.n_bytes += frame.len();
        self.waiting.push_back(Item::Ended(EndedTrace {
            n,
            n_builds,
            processes,
            frame,
            n_sent: 0,
        }));
        true
    }

    /// Counts builds that are not sent.
    pub(super) fn drop_builds(&mut self, n: usize) {
        self.n_dropped = self.n_dropped.saturating_add(n as u64);
    }

    /// Removes the traces up to this number, which are stored.
    pub(super) fn stored(&mut self, up_to: u64) {
        while let Some(first) = self.sent.front()
            && first.n <= up_to
        {
            self.n_builds = self.n_builds.saturating_sub(first.n_builds);
            self.n_bytes = self.n_bytes.saturating_sub(first.frame.len());
            self.sent.pop_front();
        }
    }

    /// Returns the next request to send.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.waiting.pop_front()? {
                Item::Control(frame) => return Some(frame),
                Item::Ended(mut ended) => {
                    ended.n_sent += 1;
                    let frame = ended.frame.clone();
                    self.last_sent = self.last_sent.max(ended.n);
                    self.sent.push_back(ended);
                    return Some(frame);
                }
                Item::Status => {
                    if let Some(frame) = self.status.take() {
                        return Some(frame);
                    }
                }
                // The build has ended before its start was sent. The ended trace contains all facts.
                Item::Begun(process) => {
                    if let Some(frame) = self.under_way.get(&process) {
                        return Some(frame.clone());
                    }
                }
            }
        }
    }

    /// True if the backlog contains a trace with a build by this process.
    pub(super) fn has(&self, process: ProcKey) -> bool {
        let waiting = self.waiting.iter().filter_map(|it| match it {
            Item::Ended(it) => Some(it),
            Item::Control(_) | Item::Begun(_) | Item::Status => None,
        });
        let mut ended = self.sent.iter().chain(waiting);
        ended.any(|it| it.processes.contains(&process))
    }

    /// Number of builds that have ended and are not stored yet.
    pub(super) fn n_builds(&self) -> usize {
        self.n_builds
    }

    /// Number of dropped builds.
    pub(super) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracer_core::event::{Ktime, Tgid};

    use super::*;

    fn process(n: u32) -> ProcKey {
        ProcKey {
            tgid: Tgid(n),
            born: Ktime(1),
        }
    }

    fn all(backlog: &mut Backlog) -> Vec<String> {
        std::iter::from_fn(|| backlog.next())
            .map(|it| String::from_utf8(it.to_vec()).unwrap())
            .collect()
    }

    fn ended(backlog: &mut Backlog, n: u64) -> bool {
        let by = process(u32::try_from(n).unwrap());
        backlog.ended(n, 1, vec![by], format!("ended {n}").into())
    }

    #[test]
    fn a_new_storage_process_receives_everything_that_is_not_stored() {
        let mut backlog = Backlog::default();
        backlog.begun(process(1), "begun 1".into());
        backlog.begun(process(2), "begun 2".into());
        for n in [1, 2] {
            assert!(ended(&mut backlog, n));
        }
        backlog.build_ended(process(1));
        let has = |backlog: &Backlog| [1, 2, 3].map(|it| backlog.has(process(it)));
        assert_eq!(has(&backlog), [true, true, false]);
        assert_eq!(all(&mut backlog), ["begun 2", "ended 1", "ended 2"]);
        backlog.stored(1);
        assert_eq!(has(&backlog), [false, true, false]);
        backlog.control("reload".into());
        backlog.status("old".into());
        backlog.status("well".into());
        assert!(ended(&mut backlog, 3));
        assert_eq!(backlog.last_sent(), 2);
        backlog.restart(["begin".into()]);
        let expected = ["begin", "begun 2", "ended 2", "ended 3", "well"];
        assert_eq!(all(&mut backlog), expected);
        backlog.end("end".into());
        backlog.restart([]);
        assert_eq!(all(&mut backlog), ["begun 2", "ended 2", "ended 3", "end"]);
        backlog.stored(u64::MAX);
        assert_eq!(backlog.n_builds(), 0);
    }

    #[test]
    fn builds_beyond_the_limit_are_counted_and_stored_builds_free_space() {
        let mut backlog = Backlog::default();
        let huge = vec![0; MAX_BYTES + 1];
        assert!(
            backlog.ended(1, 1, Vec::new(), huge.into()),
            "a single trace is always accepted"
        );
        assert!(!ended(&mut backlog, 2));
        assert_eq!(all(&mut backlog).len(), 1);
        assert!(!ended(&mut backlog, 2), "sent is not stored");
        backlog.stored(1);
        for n in 2..2 + MAX_BUILDS as u64 {
            assert!(ended(&mut backlog, n), "{n}");
        }
        assert!(!ended(&mut backlog, 9999));
        assert_eq!((backlog.n_builds(), backlog.n_dropped()), (MAX_BUILDS, 3));
    }

    #[test]
    fn a_trace_that_crashes_the_storage_process_repeatedly_is_dropped() {
        let mut backlog = Backlog::default();
        for n in [1, 2] {
            assert!(ended(&mut backlog, n));
        }
        for _ in 0..MAX_CRASHES {
            assert_eq!(all(&mut backlog), ["ended 1", "ended 2"]);
            backlog.restart([]);
        }
        assert_eq!(all(&mut backlog), ["ended 2"]);
        assert_eq!((backlog.n_builds(), backlog.n_dropped()), (1, 1));
    }

    proptest! {
        /// Across crashes, each accepted trace is sent in order, repeated until it is stored, and none is skipped.
        #[test]
        fn no_accepted_trace_is_skipped(steps in prop::collection::vec(0..4_u8, 0..200)) {
            let mut backlog = Backlog::default();
            let (mut n, mut stored, mut n_crashes) = (0_u64, 0_u64, 1);
            let mut received: Vec<u64> = Vec::new();
            for step in steps {
                match step {
                    0 => {
                        n += 1;
                        prop_assert!(ended(&mut backlog, n));
                    }
                    1 => if let Some(frame) = backlog.next() {
                        let frame = String::from_utf8(frame.to_vec()).unwrap();
                        received.push(frame.strip_prefix("ended ").unwrap().parse().unwrap());
                    },
                    2 => {
                        stored = received.last().copied().unwrap_or(stored);
                        backlog.stored(stored);
                    }
                    _ if n_crashes < MAX_CRASHES => {
                        n_crashes += 1;
                        backlog.restart([]);
                        received.clear();
                    }
                    _ => {}
                }
                prop_assert!(received.windows(2).all(|it| it[0] + 1 == it[1]));
                if let Some(first) = received.first() {
                    prop_assert!(*first <= stored + 1);
                }
                prop_assert_eq!(backlog.n_builds() as u64, n - stored);
            }
        }
    }
}
