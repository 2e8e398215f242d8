//! A suspicion that the level of a noisy metric has moved: a cumulative sum of deviations, clipped so that one outlier raises none.
//!
//! E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954). Reference and noise are the median and its deviation over the first
//! builds of the accepted level.

use super::level::{Direction, Level};
use super::statistics::{SIGMA_OF_MAD, real};

/// Builds that define the reference.
const REFERENCE: usize = 30;
/// Fewest builds of a reference.
const LEAST_REFERENCE: usize = 12;
/// Most builds after the reference that are summed.
const SUMMED: usize = 200;
/// Deviation that is no suspicion, in sigmas.
const SLACK: f64 = 0.75;
/// Largest deviation of one build, in sigmas.
const CLIP: f64 = 3.0;
/// Sum at which a suspicion begins, in sigmas.
const LIMIT: f64 = 6.0;
/// Least sigma as a share of the median, for metrics with hardly any noise.
const LEAST_SIGMA: f64 = 0.005;

/// A level that may have moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Index of the build at which the sum last began to rise.
    pub since: usize,
    pub direction: Direction,
}

/// Returns the suspicion that holds at the last build. The values begin at the last accepted level.
pub fn suspicion(values: &[u64]) -> Option<Suspicion> {
    // A reference grows until it is full, and never contains more than half of the builds.
    let n_reference = (values.len() / 2).clamp(LEAST_REFERENCE, REFERENCE);
    let reference = Level::of(values.get(..n_reference)?)?;
    let sigma = (reference.deviation * SIGMA_OF_MAD).max(reference.median * LEAST_SIGMA);
    let (mut up, mut down) = (Sum::default(), Sum::default());
    let first = n_reference.max(values.len().saturating_sub(SUMMED));
    for (at, value) in values.iter().enumerate().skip(first) {
        let distance = real(*value) - reference.median;
        let deviation = if distance == 0.0 {
            0.0
        } else {
            (distance / sigma).clamp(-CLIP, CLIP)
        };
        up.add(at, deviation);
        down.add(at, -deviation);
    }
    let suspected = |sum: &Sum, direction| {
        (sum.value > LIMIT).then_some(Suspicion {
            since: sum.since,
            direction,
        })
    };
    suspected(&up, Direction::Up).or_else(|| suspected(&down, Direction::Down))
}

/// A sum that is never negative.
#[derive(Debug, Default)]
struct Sum {
    value: f64,
    /// Index of the first build after the sum was 0.
    since: usize,
}

impl Sum {
    fn add(&mut self, at: usize, deviation: f64) {
        if self.value == 0.0 {
            self.since = at;
        }
        self.value = (self.value + deviation - SLACK).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::sample::{first, noisy_around};

    #[test]
    fn a_moved_level_is_suspected_within_a_few_builds() {
        let mut values = noisy_around(1000, 60);
        values.extend(noisy_around(1100, 10));
        let (seen, found) = first(&values, suspicion).unwrap();
        assert_eq!((found.since, found.direction), (60, Direction::Up));
        assert!(seen <= 64, "{seen}");
        let mut values = noisy_around(1000, 60);
        values.extend(noisy_around(900, 10));
        let (_, found) = first(&values, suspicion).unwrap();
        assert_eq!((found.since, found.direction), (60, Direction::Down));
    }

    #[test]
    fn one_outlier_raises_no_suspicion() {
        let mut values = noisy_around(1000, 60);
        values[45] = u64::MAX;
        values[50] = 0;
        assert_eq!(first(&values, suspicion), None);
    }

    #[test]
    fn a_zero_reference_has_no_noise() {
        let mut values = vec![0; 40];
        values.extend([1; 4]);
        let (_, found) = first(&values, suspicion).unwrap();
        assert_eq!((found.since, found.direction), (40, Direction::Up));
    }

    proptest! {
        #[test]
        fn a_constant_series_raises_no_suspicion(value: u64, n in 0_usize..300) {
            prop_assert_eq!(suspicion(&vec![value; n]), None);
        }

        #[test]
        fn a_suspicion_began_in_the_series(values in prop::collection::vec(any::<u64>(), 0..300)) {
            if let Some(found) = suspicion(&values) {
                prop_assert!(found.since < values.len() && found.since >= LEAST_REFERENCE);
            }
        }
    }
}
