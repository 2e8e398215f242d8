//! Exact metrics: sizes and counts. One build shows a change, because the same inputs give the same value.
//!
//! Growth below the floor of one build is found by the anchor, as in noisy metrics.

use super::creep::{ANCHOR, Creep, RECENT, creep};
use super::level::{Direction, Level};
use super::modes::modes;
use super::statistics::real;

/// Most earlier builds that count.
const PAST: usize = 60;
/// Least change of a size, as a share of the earlier one.
const SHARE: f64 = 0.01;
/// Least change of a size in bytes.
const BYTES: f64 = 16_000.0;
/// Least change of a count.
const COUNT: f64 = 1.0;
/// Least distance from the median, in median absolute deviations.
const DEVIATIONS: f64 = 5.0;
/// Builds of a mode that a value has to have left and returned to.
const LEAST_IN_MODE: usize = 2;

/// The unit of an exact metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Count,
}

/// A change of an exact metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    pub direction: Direction,
    /// Builds since the previous change.
    pub before: Level,
    pub now: u64,
}

/// The judgement of the last build of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exact {
    Change(Change),
    Creep(Creep),
    Usual,
}

/// Judges the last build. The values are a series in order, and `since` is the index of the last accepted change in it.
pub fn exact(values: &[u64], since: usize, unit: Unit) -> Exact {
    if let Some(found) = change(values, since, unit) {
        return Exact::Change(found);
    }
    let Some(found) = values.get(since..).and_then(creep) else {
        return Exact::Usual;
    };
    let window = values.len().saturating_sub(ANCHOR + RECENT);
    if modes(&values[window..], LEAST_IN_MODE).is_some() {
        return Exact::Usual;
    }
    Exact::Creep(found)
}

/// Returns the change at the last build.
///
/// A change is larger than the floor of the unit, against the previous build and against the median since the last change. It is also
/// more than five deviations from that median. A value that returns to one of two interleaved modes is no change.
fn change(values: &[u64], since: usize, unit: Unit) -> Option<Change> {
    let (now, past) = values.split_last()?;
    let before = *past.last()?;
    let recent = past.len().saturating_sub(PAST);
    let level = Level::of(past.get(since.max(recent)..)?)?;
    let floor = match unit {
        Unit::Bytes => BYTES.max(SHARE * real(before)),
        Unit::Count => COUNT,
    };
    let from_previous = real(*now) - real(before);
    let from_median = real(*now) - level.median;
    let is_change = from_previous.abs() >= floor
        && from_median.abs() >= floor
        && from_previous.is_sign_positive() == from_median.is_sign_positive()
        && from_median.abs() > DEVIATIONS * level.deviation;
    if !is_change || modes(values.get(recent..)?, LEAST_IN_MODE).is_some() {
        return None;
    }
    Some(Change {
        direction: if from_previous > 0.0 {
            Direction::Up
        } else {
            Direction::Down
        },
        before: level,
        now: *now,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::sample::first;

    /// Indexes and directions of all changes of a series of sizes.
    fn changes(values: &[u64], unit: Unit) -> Vec<(usize, Direction)> {
        let mut found = Vec::new();
        let mut since = 0;
        for n in 1..=values.len() {
            if let Some(change) = change(&values[..n], since, unit) {
                since = n - 1;
                found.push((since, change.direction));
            }
        }
        found
    }

    #[test]
    fn one_build_shows_a_change() {
        let up = [5_000_000, 5_000_000, 5_100_000, 5_100_000];
        assert_eq!(changes(&up, Unit::Bytes), [(2, Direction::Up)]);
        let down = [5_000_000, 5_000_000, 4_900_000];
        assert_eq!(changes(&down, Unit::Bytes), [(2, Direction::Down)]);
        assert_eq!(
            changes(&[20, 20, 21, 21], Unit::Count),
            [(2, Direction::Up)]
        );
    }

    #[test]
    fn a_change_of_a_size_exceeds_one_percent_and_16_kilobytes() {
        assert_eq!(changes(&[5_000_000, 5_049_999], Unit::Bytes), []);
        assert_eq!(changes(&[5_000_000, 5_050_000], Unit::Bytes).len(), 1);
        assert_eq!(changes(&[100_000, 115_999], Unit::Bytes), []);
        assert_eq!(changes(&[100_000, 116_000], Unit::Bytes).len(), 1);
        assert_eq!(changes(&[0, 16_000], Unit::Bytes).len(), 1);
    }

    #[test]
    fn a_size_that_always_varies_has_a_wider_floor() {
        let varied: Vec<u64> = (0..30_u64)
            .map(|at| 1_000_000 + at * 7 % 10 * 10_000)
            .collect();
        let since_full = |last: u64| {
            let mut values = varied.clone();
            values.push(last);
            change(&values, 0, Unit::Bytes)
        };
        assert_eq!(since_full(1_100_000), None);
        assert!(since_full(1_300_000).is_some());
    }

    #[test]
    fn an_improvement_and_a_later_regression_are_both_changes() {
        let mut values = vec![5_000_000; 20];
        values.extend([4_000_000; 3]);
        values.extend([5_000_000; 3]);
        let both = [(20, Direction::Down), (23, Direction::Up)];
        assert_eq!(changes(&values, Unit::Bytes), both);
    }

    #[test]
    fn sizes_that_take_turns_are_no_change_from_the_second_turn_on() {
        let values = [5_000_000, 6_000_000].repeat(20);
        assert_eq!(
            changes(&values, Unit::Bytes),
            [(1, Direction::Up), (2, Direction::Down)]
        );
    }

    #[test]
    fn growth_of_single_kilobytes_is_a_creep() {
        let mut values = vec![5_000_000; 30];
        values.extend((0..100).map(|at| 5_000_000 + at * 9000));
        let (seen, found) = first(&values, |it| match exact(it, 0, Unit::Bytes) {
            Exact::Usual => None,
            found @ (Exact::Change(_) | Exact::Creep(_)) => Some(found),
        })
        .unwrap();
        assert!(
            matches!(found, Exact::Creep(it) if it.direction == Direction::Up),
            "{found:?}"
        );
        assert!((58..90).contains(&seen), "{seen}");
    }

    #[test]
    fn a_first_build_is_no_change() {
        assert_eq!(changes(&[], Unit::Count), []);
        assert_eq!(changes(&[7], Unit::Count), []);
    }

    proptest! {
        #[test]
        fn a_constant_size_never_changes(value: u64, n in 0_usize..100) {
            prop_assert_eq!(changes(&vec![value; n], Unit::Bytes), []);
        }

        #[test]
        fn any_sizes_are_judged(values in prop::collection::vec(any::<u64>(), 0..80), since in 0_usize..90) {
            if let Some(found) = change(&values, since, Unit::Bytes) {
                prop_assert_eq!(real(found.now) > found.before.median, found.direction == Direction::Up);
            }
        }
    }
}
