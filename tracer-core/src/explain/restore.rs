//! The price of restoring a build cache: its duration against the time that the cache saved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Saved;

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It took less time than it saved.
    Pays,
    /// It took more time than it saved.
    DoesNotPay,
    /// Its time is between the bounds of the saved time.
    Close,
    /// Cached actions have no earlier run in the history, so the saved time has no upper bound.
    Unknown,
}

impl CacheRestore {
    /// `cpus`: the number of CPUs of the machine.
    pub fn of(saved: &Saved, restore_ns: u64, cpus: u32) -> Self {
        let at_least_ns = saved.cpu_ns / u64::from(cpus.max(1));
        let verdict = if restore_ns <= at_least_ns {
            Verdict::Pays
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let verdict = CacheRestore::of(saved, restore_ns, 4).verdict;
            assert_eq!(verdict, expected, "{saved:?} {restore_ns}");
        }
    }
}
