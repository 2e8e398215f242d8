//! A lasting step of a noisy metric: 24 builds before it against 6 after it.
//!
//! Builds near the step weigh more in the two means, so that an earlier drift counts less. The variances about these means are plain. The
//! statistic is Welch's t, and a step is where t is largest. If neighbouring builds are alike, t is smaller by
//! [`super::statistics::independence`]. Firefox's performance alerts use the same statistic with 12 builds after the
//! step.

use super::level::{Direction, Level};
use super::statistics::{count, independence, real, variance};

/// Most builds before a step.
pub(super) const BEFORE: usize = 24;
/// Fewest builds before a step.
const LEAST_BEFORE: usize = 12;
/// Builds after a step, including the one that began it.
pub(super) const AFTER: usize = 6;
/// Most builds that show how alike neighbours are.
const PAST: usize = 60;
/// Least share of the earlier median.
const EFFECT: f64 = 0.02;
const LEAST_T: f64 = 7.0;

/// A confirmed step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Index of the first build at the new level.
    pub at: usize,
    pub direction: Direction,
    pub before: Level,
    pub after: Level,
}

/// Returns the step that the last build confirms. The values begin at the last accepted level, and the last one is the newest build.
///
/// A step is confirmed at one build only: the sixth after the one that began it. The caller therefore judges every build. A step that came
/// a build or two after too few builds is found at the first build that has enough before it.
pub fn step(values: &[u64]) -> Option<Step> {
    let at = values.len().checked_sub(AFTER + 1)?;
    let (before, after) = sides(values, at)?;
    let t = t_at(values, at).filter(|it| *it > LEAST_T)?;
    let is_maximum = t_at(values, at - 1).is_none_or(|it| it < t)
        && t_at(values, at + 1).is_none_or(|it| it <= t);
    let past = &values[at.saturating_sub(PAST)..at];
    if !is_maximum || t * independence(past) <= LEAST_T {
        return None;
    }
    let before = Level::of(before)?;
    let after = Level::of(after)?;
    Some(Step {
        at,
        direction: before.moved(&after, EFFECT)?,
        before,
        after,
    })
}

/// The builds before and after the beginning of a step. `None` with too few builds.
fn sides(values: &[u64], at: usize) -> Option<(&[u64], &[u64])> {
    let before = values.get(at.saturating_sub(BEFORE)..at)?;
    let after = values.get(at..at.checked_add(AFTER)?)?;
    (before.len() >= LEAST_BEFORE).then_some((before, after))
}

/// Welch's t of a step at this build. `None` with too few builds.
fn t_at(values: &[u64], at: usize) -> Option<f64> {
    let (before, after) = sides(values, at)?;
    let before_mean = mean_by_nearness(before.iter().rev())?;
    let after_mean = mean_by_nearness(after.iter())?;
    let difference = (after_mean - before_mean).abs();
    if difference == 0.0 {
        return Some(0.0);
    }
    let error = variance(before, before_mean) / count(before.len())
        + variance(after, after_mean) / count(after.len());
    Some(difference / error.sqrt())
}

/// Mean of values with weights that fall linearly, from the first one to the last.
fn mean_by_nearness<'v>(values: impl ExactSizeIterator<Item = &'v u64>) -> Option<f64> {
    let n = values.len();
    let total = count(n) * count(n + 1) / 2.0;
    let weighted = values.enumerate();
    let sum = weighted.map(|(at, it)| real(*it) * (count(n - at) / total));
    (n > 0).then(|| sum.sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::sample::{first, noisy_around};

    fn found(values: &[u64]) -> Option<(usize, usize, Direction)> {
        first(values, |it| {
            step(it).map(|found| (found.at, found.direction))
        })
        .map(|(seen, (at, direction))| (at, seen, direction))
    }

    #[test]
    fn a_step_is_confirmed_six_builds_later() {
        let mut values = noisy_around(1000, 30);
        values.extend(noisy_around(1100, 20));
        assert_eq!(found(&values), Some((30, 36, Direction::Up)));
        let mut values = noisy_around(1000, 30);
        values.extend(noisy_around(900, 20));
        assert_eq!(found(&values), Some((30, 36, Direction::Down)));
    }

    #[test]
    fn a_step_of_constant_values_is_found_where_it_began() {
        let mut values = vec![0; 12];
        values.extend([1; 12]);
        assert_eq!(found(&values), Some((12, 18, Direction::Up)));
    }

    #[test]
    fn a_small_step_and_a_short_one_are_none() {
        let mut values = vec![1000; 30];
        values.extend([1019; 30]);
        assert_eq!(found(&values), None);
        let mut values = noisy_around(1000, 30);
        values.extend(noisy_around(1500, 3));
        values.extend(noisy_around(1000, 30));
        assert_eq!(found(&values), None);
    }

    #[test]
    fn a_step_after_too_few_builds_is_found_late_or_not_at_all() {
        let after = |n| {
            let mut values = vec![1000; n];
            values.extend([2000; 60]);
            found(&values)
        };
        assert_eq!(after(11), Some((12, 18, Direction::Up)));
        assert_eq!(after(8), None);
    }

    #[test]
    fn an_improvement_and_a_later_regression_are_two_steps() {
        let mut values = noisy_around(1000, 30);
        values.extend(noisy_around(900, 30));
        values.extend(noisy_around(1000, 30));
        assert_eq!(found(&values), Some((30, 36, Direction::Down)));
        assert_eq!(found(&values[30..]), Some((30, 36, Direction::Up)));
    }

    proptest! {
        #[test]
        fn a_constant_series_has_no_step(value: u64, n in 0_usize..100) {
            prop_assert_eq!(found(&vec![value; n]), None);
        }

        #[test]
        fn a_confirmed_step_is_within_the_series(values in prop::collection::vec(any::<u64>(), 0..80)) {
            if let Some(found) = step(&values) {
                prop_assert_eq!(found.at + AFTER + 1, values.len());
                prop_assert!(found.at >= LEAST_BEFORE);
                let is_up = found.after.median > found.before.median;
                prop_assert_eq!(is_up, found.direction == Direction::Up);
            }
        }

        #[test]
        fn a_large_step_is_found_at_any_scale(unit in 1_u64..1_u64 << 50, before in 12_usize..60) {
            let mut values = noisy_around(1000, before);
            values.extend(noisy_around(1500, 7));
            let values: Vec<u64> = values.iter().map(|it| it * unit).collect();
            prop_assert_eq!(found(&values), Some((before, before + 6, Direction::Up)));
        }
    }
}
