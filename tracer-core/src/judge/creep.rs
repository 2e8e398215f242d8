//! A slow change of a noisy metric that is no step: the first builds of the accepted level against the last ones.

use super::level::{Direction, Level};
use super::rank_sum::rank_sum;
use super::statistics::independence;

/// Builds of the anchor, the first of the accepted level.
pub(super) const ANCHOR: usize = 30;
/// Last builds.
pub(super) const RECENT: usize = 12;
/// Least share of the anchor's median.
const EFFECT: f64 = 0.05;
/// Deviation of the rank sum that chance exceeds with a probability of 1e-4, on both sides together.
const LEAST_DEVIATION: f64 = 3.8906;

/// A slow change, from the end of the anchor to the last builds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Creep {
    /// Index of the first build after the anchor.
    pub from: usize,
    /// Index of the first of the last builds.
    pub to: usize,
    pub direction: Direction,
    pub before: Level,
    pub after: Level,
}

/// Returns the creep between the anchor and the last build. The values begin at the last accepted level.
pub fn creep(values: &[u64]) -> Option<Creep> {
    let to = values
        .len()
        .checked_sub(RECENT)
        .filter(|it| *it >= ANCHOR)?;
    let (anchor, recent) = (values.get(..ANCHOR)?, values.get(to..)?);
    let before = Level::of(anchor)?;
    let after = Level::of(recent)?;
    let direction = before.moved(&after, EFFECT)?;
    // A step that has just begun is left to the t rule, so the builds before the last ones have moved, too.
    let meanwhile = Level::of(values.get(to.saturating_sub(RECENT)..to)?)?;
    if before.moved(&meanwhile, EFFECT) != Some(direction) {
        return None;
    }
    let lasting = values.get(to.saturating_sub(RECENT)..)?;
    let deviation = rank_sum(anchor, recent);
    let lasting = rank_sum(anchor, lasting) * independence(anchor);
    let least = match direction {
        Direction::Up => deviation.min(lasting),
        Direction::Down => -deviation.max(lasting),
    };
    let is_significant = least > LEAST_DEVIATION;
    is_significant.then_some(Creep {
        from: ANCHOR,
        to,
        direction,
        before,
        after,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::sample::{first, noisy_around};

    #[test]
    fn a_slow_rise_is_found_with_its_range() {
        let mut values = noisy_around(1000, 40);
        let rise = noisy_around(1000, 100).into_iter().zip(0..);
        values.extend(rise.map(|(value, at): (u64, u64)| value + 2 * at));
        let (seen, found) = first(&values, creep).unwrap();
        assert_eq!((found.from, found.direction), (30, Direction::Up));
        assert!((60..90).contains(&seen), "{seen}");
        assert_eq!(found.to, seen + 1 - RECENT);
    }

    #[test]
    fn noise_around_one_level_is_no_creep() {
        assert_eq!(first(&noisy_around(1000, 300), creep), None);
        assert_eq!(first(&[0; 100], creep), None);
    }

    #[test]
    fn builds_before_the_last_ones_have_moved_too() {
        let mut values = vec![1000; ANCHOR];
        values.extend([2000; 2 * RECENT]);
        assert_eq!(creep(&values[..ANCHOR + RECENT]), None);
        assert!(creep(&values).is_some());
    }

    proptest! {
        #[test]
        fn the_unit_does_not_matter(values in prop::collection::vec(1000_u64..1200, 42..90), rise in 0_u64..9, unit in 1_u64..1 << 40) {
            let rising = values.iter().zip(0..).map(|(value, at)| value + rise * at);
            let scaled: Vec<u64> = rising.clone().map(|it| it * unit).collect();
            let summary = |values: &[u64]| creep(values).map(|it| (it.from, it.to, it.direction));
            prop_assert_eq!(summary(&rising.collect::<Vec<_>>()), summary(&scaled));
        }

        #[test]
        fn any_values_are_judged(values in prop::collection::vec(any::<u64>(), 0..100)) {
            if let Some(found) = creep(&values) {
                prop_assert!(found.from <= found.to && found.to + RECENT == values.len());
                let is_up = found.after.median > found.before.median;
                prop_assert_eq!(is_up, found.direction == Direction::Up);
            }
        }
    }
}
