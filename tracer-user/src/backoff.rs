//! Pauses between retries: they double, with jitter. This module reads no clock and does not wait.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// A series of pauses. The length of each pause is random, between half of its nominal length and the whole. So many agents that lost
/// the same server do not return at the same moment.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    n_failed: u32,
    /// State of a sequence of random numbers.
    random: u64,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        // The seed of the standard library's hash tables is random enough for this.
        let seed = RandomState::new().build_hasher().finish();
        Self::seeded(first, longest, seed)
    }

    fn seeded(first: Duration, longest: Duration, seed: u64) -> Self {
        Self {
            first,
            longest,
            n_failed: 0,
            random: seed | 1,
        }
    }

    /// Returns the pause after a failed attempt. `asked` is the pause that the server requested; it counts up to the longest pause.
    pub(crate) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = 1_u32.checked_shl(self.n_failed).unwrap_or(u32::MAX);
        self.n_failed = self.n_failed.saturating_add(1);
        let whole = self.first.saturating_mul(doubled).min(self.longest);
        let half = whole / 2;
        let own = half + half.mul_f64(self.part());
        asked.map_or(own, |it| it.max(own)).min(self.longest)
    }

    /// Resets the series after a successful attempt.
    pub(crate) fn succeeded(&mut self) {
        self.n_failed = 0;
    }

    /// A random number between 0 and 1, from a xorshift generator.
    fn part(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let bits = u32::try_from(self.random >> 32).unwrap_or(0);
        f64::from(bits) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_success() {
        for seed in 0..500 {
            let mut backoff = Backoff::seeded(SECOND, SECOND * 60, seed);
            for whole in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
                let pause = backoff.failed(None);
                let whole = SECOND * whole;
                assert!(whole / 2 <= pause && pause <= whole, "{pause:?}");
            }
            for _ in 0..100 {
                assert!(backoff.failed(None) >= SECOND * 30);
            }
            backoff.succeeded();
            assert!(backoff.failed(None) <= SECOND);
        }
    }

    #[test]
    fn agents_do_not_return_at_the_same_moment() {
        let pauses: std::collections::BTreeSet<_> = (0..100)
            .map(|seed| Backoff::seeded(SECOND * 60, SECOND * 60, seed * 7919).failed(None))
            .collect();
        assert!(pauses.len() > 40, "{}", pauses.len());
    }

    #[test]
    fn a_server_may_request_a_longer_pause_within_bounds() {
        let mut backoff = Backoff::seeded(SECOND, SECOND * 60, 1);
        assert_eq!(backoff.failed(Some(SECOND * 20)), SECOND * 20);
        assert_eq!(backoff.failed(Some(SECOND * 6000)), SECOND * 60);
        assert!(backoff.failed(Some(Duration::ZERO)) >= SECOND * 2);
    }
}
