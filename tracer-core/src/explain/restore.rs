//! The price of restoring a build cache: its duration against the time that the cache saved, and the share of its entries that a build used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Saved;

/// The `go` command marks an entry that it uses, unless it did so in this time: `mtimeInterval` of `cmd/go/internal/cache`.
const MARKED_NS: i64 = 3_600_000_000_000;
/// The clock of files may be late by this.
const SLACK_NS: i64 = 10_000_000;
/// A cache of which a build used less than one entry in this number was restored by the wrong key.
const LEAST_SHARE: u64 = 10;

/// The entries that a build cache had before a build, by their use. Their times show it after the build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CacheUse {
    /// Entries that the build used.
    pub n_used: u64,
    /// Entries that it did not use.
    pub n_unused: u64,
    /// Entries whose use is not known: they were marked in the hour before the build or changed after it, or have no known birth.
    pub n_unknown: u64,
    /// False if the cache has more entries than were read.
    pub is_whole: bool,
}

/// The times of an entry of a build cache, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheEntryTimes {
    /// `None` if the file system does not have it.
    pub born_ns: Option<i64>,
    pub modified_ns: i64,
}

impl CacheUse {
    /// Counts an entry, for a build that started and ended at these times. An entry that the build or a later one wrote does not count.
    pub fn add(&mut self, entry: CacheEntryTimes, started_ns: i64, ended_ns: i64) {
        let CacheEntryTimes {
            born_ns,
            modified_ns,
        } = entry;
        if modified_ns < started_ns.saturating_sub(MARKED_NS) {
            self.n_unused += 1;
        } else if modified_ns < started_ns.saturating_sub(SLACK_NS) {
            self.n_unknown += 1;
        } else if born_ns.is_some_and(|it| it >= started_ns.saturating_sub(SLACK_NS)) {
            // New.
        } else if born_ns.is_some() && modified_ns <= ended_ns {
            self.n_used += 1;
        } else {
            self.n_unknown += 1;
        }
    }

    pub fn n_all(&self) -> u64 {
        self.n_used + self.n_unused + self.n_unknown
    }

    /// True if the build certainly used only a small part.
    fn is_small(&self) -> bool {
        let most = self.n_used.saturating_add(self.n_unknown);
        self.is_whole && self.n_unused > 0 && most.saturating_mul(LEAST_SHARE) < self.n_all()
    }
}

/// The restoring of a build cache before a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CacheRestore {
    pub verdict: Verdict,
    /// Its duration.
    pub restore_ns: u64,
    /// The build would have taken at least this much longer: all CPUs would have worked in parallel, ...
    pub at_least_ns: u64,
    /// ... and at most this much: one CPU after another.
    pub at_most_ns: u64,
    /// The use of its entries, if they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<CacheUse>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It took less time than it saved.
    Pays,
    /// It took more time than it saved.
    DoesNotPay,
    /// It is not known to have saved more time than it took, and the build used less than a tenth of the entries: the cache of another
    /// state was restored.
    WrongKey,
    /// Its time is between the bounds of the saved time.
    Close,
    /// Cached actions have no earlier run in the history, so the saved time has no upper bound.
    Unknown,
}

impl CacheRestore {
    /// `cpus`: the number of CPUs of the machine.
    pub fn of(saved: &Saved, restore_ns: u64, cpus: u32, used: Option<CacheUse>) -> Self {
        let at_least_ns = saved.cpu_ns / u64::from(cpus.max(1));
        let verdict = if restore_ns <= at_least_ns {
            Verdict::Pays
        } else if used.is_some_and(|it| it.is_small()) {
            Verdict::WrongKey
        } else if saved.n_known < saved.n_cached {
            Verdict::Unknown
        } else if restore_ns >= saved.cpu_ns {
            Verdict::DoesNotPay
        } else {
            Verdict::Close
        };
        Self {
            verdict,
            restore_ns,
            at_least_ns,
            at_most_ns: saved.cpu_ns,
            used,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_an_entry_show_its_use() {
        const START: i64 = 100 * MARKED_NS;
        const END: i64 = START + 1_000_000_000;
        let old = START - 2 * MARKED_NS;
        for (born, modified, expected) in [
            (Some(old), old, [0, 1, 0]),
            (None, old, [0, 1, 0]),
            (Some(old), START - MARKED_NS / 2, [0, 0, 1]),
            (Some(old), START + 5, [1, 0, 0]),
            (None, START + 5, [0, 0, 1]),
            // Written by the build, or by a later one.
            (Some(START + 5), START + 5, [0, 0, 0]),
            (Some(START - 1), START - 1, [0, 0, 0]),
            (Some(END + 5), END + 5, [0, 0, 0]),
            // Used by a later build, and perhaps by this one.
            (Some(old), END + 5, [0, 0, 1]),
        ] {
            let mut used = CacheUse::default();
            let entry = CacheEntryTimes {
                born_ns: born,
                modified_ns: modified,
            };
            used.add(entry, START, END);
            let found = [used.n_used, used.n_unused, used.n_unknown];
            assert_eq!(found, expected, "{born:?} {modified}");
        }
    }

    #[test]
    fn a_cache_whose_entries_are_hardly_used_has_the_wrong_key() {
        let nothing = Saved::default();
        let used = CacheUse {
            n_used: 4,
            n_unused: 96,
            n_unknown: 5,
            is_whole: true,
        };
        let verdict = |saved: &Saved, used| CacheRestore::of(saved, 10, 4, Some(used)).verdict;
        assert_eq!(verdict(&nothing, used), Verdict::WrongKey);
        for other in [
            CacheUse {
                n_unknown: 50,
                ..used
            },
            CacheUse {
                is_whole: false,
                ..used
            },
            CacheUse { n_used: 40, ..used },
            CacheUse {
                is_whole: true,
                ..CacheUse::default()
            },
        ] {
            assert_eq!(verdict(&nothing, other), Verdict::DoesNotPay, "{other:?}");
        }
        let much = Saved {
            cpu_ns: 1000,
            ..nothing
        };
        assert_eq!(verdict(&much, used), Verdict::Pays);
    }

    #[test]
    fn the_verdict_compares_with_the_bounds_of_the_saved_time() {
        let saved = Saved {
            n_cached: 3,
            n_known: 3,
            cpu_ns: 40,
            by: None,
        };
        let partly = Saved {
            n_known: 2,
            ..saved.clone()
        };
        let nothing = Saved::default();
        for (saved, restore_ns, expected) in [
            (&saved, 10, Verdict::Pays),
            (&saved, 11, Verdict::Close),
            (&saved, 40, Verdict::DoesNotPay),
            (&partly, 10, Verdict::Pays),
            (&partly, 40, Verdict::Unknown),
            (&nothing, 1, Verdict::DoesNotPay),
        ] {
            let verdict = CacheRestore::of(saved, restore_ns, 4, None).verdict;
            assert_eq!(verdict, expected, "{saved:?} {restore_ns}");
        }
    }
}
