//! Two modes of one metric, interleaved in time: builds with a cold cache among builds with a warm one, or two machines that take turns.
//!
//! Such a series has no level to compare with. The values are split into two groups with the least variance. The groups are modes if
//! they are far apart, and interleaved if the order of the builds is as good as random: A. Wald and J. Wolfowitz, "On a test whether two
//! samples are from the same population", Annals of Mathematical Statistics 11 (1940). A step has only two runs.

use super::level::Level;
use super::statistics::{count, real, variance};

/// Least distance of the means in standard deviations of the groups: the D of K. M. Ashman, C. M. Bird and S. E. Zepf, Astronomical
/// Journal 108 (1994).
const LEAST_D: f64 = 5.0;
/// Least distance, as a share of the lower median.
const LEAST_SHARE: f64 = 0.02;
/// Runs of a series that has left both modes and returned to them.
const LEAST_RUNS: usize = 4;
/// Fewer runs than expected by this many sigmas are an order that is not random (p = 0.01).
const LEAST_DEVIATION: f64 = -2.326;

/// Two modes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modes {
    pub low: Level,
    pub high: Level,
    /// Smallest value of the higher mode.
    boundary: u64,
}

impl Modes {
    /// Returns whether two levels are in different modes.
    pub(super) fn separate(&self, a: &Level, b: &Level) -> bool {
        (a.median < real(self.boundary)) != (b.median < real(self.boundary))
    }
}

/// Returns the modes if the builds have two, interleaved, each with at least this many builds.
pub(super) fn modes(values: &[u64], least: usize) -> Option<Modes> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let (low, high) = sorted.split_at(split(&sorted)?);
    if low.len().min(high.len()) < least.max(1) {
        return None;
    }
    let boundary = *high.first()?;
    let found = Modes {
        low: Level::of(low)?,
        high: Level::of(high)?,
        boundary,
    };
    let is_apart = found.low.moved(&found.high, LEAST_SHARE).is_some() && d(low, high) > LEAST_D;
    (is_apart && is_random(values, boundary)).then_some(found)
}

/// Returns the length of the lower group in the split with the least variance within the groups. `None` if all values are equal.
fn split(sorted: &[u64]) -> Option<usize> {
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    if first == last {
        return None;
    }
    let distance = |value: u64| real(value - first);
    let total: f64 = sorted.iter().map(|it| distance(*it)).sum();
    let n = count(sorted.len());
    let (mut below, mut best) = (0.0, (0.0, None));
    for (at, pair) in sorted.windows(2).enumerate() {
        below += distance(pair[0]);
        let n_below = count(at + 1);
        // The least variance within is the largest variance between.
        let apart = (total - below) / (n - n_below) - below / n_below;
        let between = n_below * (n - n_below) * apart * apart;
        if pair[0] != pair[1] && between > best.0 {
            best = (between, Some(at + 1));
        }
    }
    best.1
}

/// The distance of two groups in their standard deviations, infinite for two values.
fn d(low: &[u64], high: &[u64]) -> f64 {
    let mean =
        |values: &[u64]| values.iter().map(|it| real(*it)).sum::<f64>() / count(values.len());
    let (low_mean, high_mean) = (mean(low), mean(high));
    let spread = variance(low, low_mean) + variance(high, high_mean);
    (high_mean - low_mean) * std::f64::consts::SQRT_2 / spread.sqrt()
}

/// Returns whether values below and above the boundary follow each other at random, or more often than that.
fn is_random(values: &[u64], boundary: u64) -> bool {
    let runs = values.chunk_by(|a, b| (*a < boundary) == (*b < boundary));
    let n_runs = runs.count();
    let n_low = count(values.iter().filter(|it| **it < boundary).count());
    let n = count(values.len());
    let pairs = 2.0 * n_low * (n - n_low);
    let expected = pairs / n + 1.0;
    let sigma = (pairs * (pairs - n) / (n * n * (n - 1.0))).sqrt();
    n_runs >= LEAST_RUNS && count(n_runs) - expected >= LEAST_DEVIATION * sigma
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::sample::noisy_around;

    fn found(values: &[u64]) -> Option<(u64, u64)> {
        let rounded = |level: Level| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small median"
            )]
            let rounded = (level.median / 100.0).round() as u64 * 100;
            rounded
        };
        modes(values, 3).map(|it| (rounded(it.low), rounded(it.high)))
    }

    #[test]
    fn alternating_levels_are_two_modes() {
        let (low, high) = (noisy_around(1000, 15), noisy_around(2000, 15));
        let pairs = low.iter().zip(&high);
        let values: Vec<u64> = pairs.flat_map(|(low, high)| [*low, *high]).collect();
        assert_eq!(found(&values), Some((1000, 2000)));
        let rare: Vec<u64> = values
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 2 == 0 || at % 10 == 1)
            .map(|it| *it.1)
            .collect();
        assert_eq!(found(&rare), Some((1000, 2000)));
    }

    #[test]
    fn a_step_and_a_visit_are_not() {
        let mut values = noisy_around(1000, 20);
        values.extend(noisy_around(2000, 10));
        assert_eq!(found(&values), None);
        values.extend(noisy_around(1000, 20));
        assert_eq!(found(&values), None);
    }

    #[test]
    fn noise_has_one_mode() {
        assert_eq!(found(&noisy_around(1000, 60)), None);
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[0; 60]), None);
    }

    #[test]
    fn levels_in_one_mode_are_not_separate() {
        let values: Vec<u64> = [100, 900].repeat(10);
        let modes = modes(&values, 3).unwrap();
        let level = |value| Level::of(&[value]).unwrap();
        assert!(modes.separate(&level(110), &level(910)));
        assert!(!modes.separate(&level(900), &level(910)));
    }

    proptest! {
        #[test]
        fn any_values_are_split(values in prop::collection::vec(any::<u64>(), 0..80)) {
            if let Some(found) = modes(&values, 3) {
                prop_assert!(found.low.median < found.high.median);
            }
        }

        #[test]
        fn modes_are_the_same_backwards(mut values in prop::collection::vec(prop::sample::select(vec![10_u64, 11, 50, 51]), 0..80)) {
            let there = modes(&values, 3);
            values.reverse();
            prop_assert_eq!(there, modes(&values, 3));
        }
    }
}
