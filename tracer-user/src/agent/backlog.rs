//! What waits for the keeper: words that it was not told yet, and traces that it was told and has not stored.
//!
//! A keeper that dies takes nothing along that is here: the next one is told all of it again. What finds no room is counted. Pure: it
//! starts no process and writes no byte.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tracer_core::event::ProcKey;

/// Keepers that may die of one trace. It is the oldest one then that is given up, or no other would ever be stored.
const DEATHS: u32 = 8;
/// Builds that are here at most, told or not.
const BUILDS: usize = 1024;
/// And bytes of them. One trace alone may have more.
const BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Item>,
    /// Told and not stored, oldest first.
    told: VecDeque<Ended>,
    /// Builds that have begun, by their process, until they are over.
    under_way: BTreeMap<ProcKey, Bytes>,
    /// How the watcher is doing: only the newest is worth telling.
    status: Option<Bytes>,
    /// The last word, once it is known.
    end: Option<Bytes>,
    /// Of all that are here.
    n_builds: usize,
    n_bytes: usize,
    /// Of the last trace that was told.
    last_told: u64,
    n_dropped: u64,
}

#[derive(Debug)]
enum Item {
    /// To be told once, to this keeper.
    Word(Bytes),
    Begun(ProcKey),
    Ended(Ended),
    Status,
}

/// Builds that are over.
#[derive(Clone, Debug)]
struct Ended {
    n: u64,
    n_builds: usize,
    processes: Vec<ProcKey>,
    frame: Bytes,
    /// Keepers that were told of it.
    n_told: u32,
}

impl Backlog {
    /// Another keeper begins. All that the last one was told and may not have stored is told again after those words.
    pub(super) fn begin_again(&mut self, first: impl IntoIterator<Item = Bytes>) {
        if let Some(first) = self.told.front()
            && first.n_told >= DEATHS
        {
            let (n, n_builds) = (first.n, first.n_builds);
            self.stored(n);
            self.drop_builds(n_builds);
        }
        let before = std::mem::take(&mut self.waiting);
        let told = std::mem::take(&mut self.told);
        let words = first.into_iter().map(Item::Word);
        let begun = self.under_way.keys().copied().map(Item::Begun);
        self.waiting = words
            .chain(begun)
            .chain(told.into_iter().map(Item::Ended))
            .collect();
        // Words were meant for the one that is gone, and the beginnings are there already.
        let untold = before.into_iter().filter_map(|it| match it {
            Item::Ended(it) => Some(Item::Ended(it)),
            Item::Word(_) | Item::Begun(_) | Item::Status => None,
        });
        self.waiting.extend(untold);
        if self.status.is_some() {
            self.waiting.push_back(Item::Status);
        }
        self.waiting.extend(self.end.clone().map(Item::Word));
    }

    /// Up to which trace an earlier keeper was told.
    pub(super) fn last_told(&self) -> u64 {
        self.last_told
    }

    pub(super) fn say(&mut self, word: Bytes) {
        self.waiting.push_back(Item::Word(word));
    }

    /// Nothing is said after that.
    pub(super) fn end(&mut self, word: Bytes) {
        self.end = Some(word.clone());
        self.say(word);
    }

    pub(super) fn status(&mut self, word: Bytes) {
        if self.status.replace(word).is_none() {
            self.waiting.push_back(Item::Status);
        }
    }

    pub(super) fn begun(&mut self, process: ProcKey, word: Bytes) {
        self.under_way.insert(process, word);
        self.waiting.push_back(Item::Begun(process));
    }

    /// A build is over, whatever becomes of it now.
    pub(super) fn over(&mut self, process: ProcKey) {
        self.under_way.remove(&process);
    }

    /// The trace of so many builds, by these processes. Says whether there was room.
    pub(super) fn ended(
        &mut self,
        n: u64,
        n_builds: usize,
        processes: Vec<ProcKey>,
        frame: Bytes,
    ) -> bool {
        let is_full = self.n_builds >= BUILDS
            || (self.n_bytes > 0 && self.n_bytes.saturating_add(frame.len()) > BYTES);
        if is_full {
            self.drop_builds(n_builds);
            return false;
        }
        self.n_builds += n_builds;
        self.n_bytes += frame.len();
        self.waiting.push_back(Item::Ended(Ended {
            n,
            n_builds,
            processes,
            frame,
            n_told: 0,
        }));
        true
    }

    /// So many builds will not be told.
    pub(super) fn drop_builds(&mut self, n: usize) {
        self.n_dropped = self.n_dropped.saturating_add(n as u64);
    }

    /// The traces up to this one are the keeper's from now on.
    pub(super) fn stored(&mut self, up_to: u64) {
        while let Some(first) = self.told.front()
            && first.n <= up_to
        {
            self.n_builds = self.n_builds.saturating_sub(first.n_builds);
            self.n_bytes = self.n_bytes.saturating_sub(first.frame.len());
            self.told.pop_front();
        }
    }

    /// What is to be told next.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.waiting.pop_front()? {
                Item::Word(word) => return Some(word),
                Item::Ended(mut ended) => {
                    ended.n_told += 1;
                    let frame = ended.frame.clone();
                    self.last_told = self.last_told.max(ended.n);
                    self.told.push_back(ended);
                    return Some(frame);
                }
                Item::Status => {
                    if let Some(word) = self.status.take() {
                        return Some(word);
                    }
                }
                // Over before it could be told: then its end says all.
                Item::Begun(process) => {
                    if let Some(word) = self.under_way.get(&process) {
                        return Some(word.clone());
                    }
                }
            }
        }
    }

    /// Whether a trace with a build by this process is here and not stored yet.
    pub(super) fn has(&self, process: ProcKey) -> bool {
        let waiting = self.waiting.iter().filter_map(|it| match it {
            Item::Ended(it) => Some(it),
            Item::Word(_) | Item::Begun(_) | Item::Status => None,
        });
        let mut ended = self.told.iter().chain(waiting);
        ended.any(|it| it.processes.contains(&process))
    }

    /// Builds that are over and not stored yet.
    pub(super) fn n_builds(&self) -> usize {
        self.n_builds
    }

    /// Builds that there was no room for.
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
    fn the_next_keeper_is_told_what_the_last_one_did_not_store() {
        let mut backlog = Backlog::default();
        backlog.begun(process(1), "begun 1".into());
        backlog.begun(process(2), "begun 2".into());
        for n in [1, 2] {
            assert!(ended(&mut backlog, n));
        }
        backlog.over(process(1));
        let has = |backlog: &Backlog| [1, 2, 3].map(|it| backlog.has(process(it)));
        assert_eq!(has(&backlog), [true, true, false]);
        assert_eq!(all(&mut backlog), ["begun 2", "ended 1", "ended 2"]);
        backlog.stored(1);
        assert_eq!(has(&backlog), [false, true, false]);
        backlog.say("reload".into());
        backlog.status("old".into());
        backlog.status("well".into());
        assert!(ended(&mut backlog, 3));
        assert_eq!(backlog.last_told(), 2);
        backlog.begin_again(["begin".into()]);
        let expected = ["begin", "begun 2", "ended 2", "ended 3", "well"];
        assert_eq!(all(&mut backlog), expected);
        backlog.end("end".into());
        backlog.begin_again([]);
        assert_eq!(all(&mut backlog), ["begun 2", "ended 2", "ended 3", "end"]);
        backlog.stored(u64::MAX);
        assert_eq!(backlog.n_builds(), 0);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_what_is_stored_makes_room() {
        let mut backlog = Backlog::default();
        let huge = vec![0; BYTES + 1];
        assert!(
            backlog.ended(1, 1, Vec::new(), huge.into()),
            "one is always taken"
        );
        assert!(!ended(&mut backlog, 2));
        assert_eq!(all(&mut backlog).len(), 1);
        assert!(!ended(&mut backlog, 2), "told is not stored");
        backlog.stored(1);
        for n in 2..2 + BUILDS as u64 {
            assert!(ended(&mut backlog, n), "{n}");
        }
        assert!(!ended(&mut backlog, 9999));
        assert_eq!((backlog.n_builds(), backlog.n_dropped()), (BUILDS, 3));
    }

    #[test]
    fn a_trace_that_keepers_die_of_is_given_up_in_the_end() {
        let mut backlog = Backlog::default();
        for n in [1, 2] {
            assert!(ended(&mut backlog, n));
        }
        for _ in 0..DEATHS {
            assert_eq!(all(&mut backlog), ["ended 1", "ended 2"]);
            backlog.begin_again([]);
        }
        assert_eq!(all(&mut backlog), ["ended 2"]);
        assert_eq!((backlog.n_builds(), backlog.n_dropped()), (1, 1));
    }

    proptest! {
        /// However keepers come and go, each trace that had room is told in order, again only until it is stored, and none is missed.
        #[test]
        fn nothing_is_missed(acts in prop::collection::vec(0..4_u8, 0..200)) {
            let mut backlog = Backlog::default();
            let (mut n, mut stored, mut n_deaths) = (0_u64, 0_u64, 1);
            let mut heard: Vec<u64> = Vec::new();
            for act in acts {
                match act {
                    0 => {
                        n += 1;
                        prop_assert!(ended(&mut backlog, n));
                    }
                    1 => if let Some(word) = backlog.next() {
                        let word = String::from_utf8(word.to_vec()).unwrap();
                        heard.push(word.strip_prefix("ended ").unwrap().parse().unwrap());
                    },
                    2 => {
                        stored = heard.last().copied().unwrap_or(stored);
                        backlog.stored(stored);
                    }
                    _ if n_deaths < DEATHS => {
                        n_deaths += 1;
                        backlog.begin_again([]);
                        heard.clear();
                    }
                    _ => {}
                }
                prop_assert!(heard.windows(2).all(|it| it[0] + 1 == it[1]));
                if let Some(first) = heard.first() {
                    prop_assert!(*first <= stored + 1);
                }
                prop_assert_eq!(backlog.n_builds() as u64, n - stored);
            }
        }
    }
}
