//! The level of a metric: the median of some builds, with its spread.

use super::statistics::{median, real};

/// Direction of a change. A larger size, CPU time or count is a regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

/// Median and median absolute deviation of some builds, in the unit of the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    pub median: f64,
    pub deviation: f64,
}

impl Level {
    /// Returns the level of these builds. `None` without a build.
    pub(super) fn of(values: &[u64]) -> Option<Self> {
        let centre = median(values.iter().map(|it| real(*it)))?;
        let deviation = median(values.iter().map(|it| (real(*it) - centre).abs()))?;
        Some(Self {
            median: centre,
            deviation,
        })
    }

    /// Returns the direction from this level to a later one, if they are this share of this level apart.
    pub(super) fn moved(&self, later: &Self, share: f64) -> Option<Direction> {
        let change = later.median - self.median;
        if change == 0.0 || change.abs() < share * self.median {
            return None;
        }
        Some(if change > 0.0 {
            Direction::Up
        } else {
            Direction::Down
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outlier_changes_no_level() {
        let level = Level::of(&[100, 101, 99, 100, 100, 9000]).unwrap();
        assert_eq!((level.median, level.deviation), (100.0, 0.5));
        assert_eq!(Level::of(&[]), None);
    }

    #[test]
    fn a_level_moves_by_a_share_of_the_earlier_one() {
        let level = |value: u64| Level::of(&[value]).unwrap();
        let moved = |from, to| level(from).moved(&level(to), 0.02);
        assert_eq!(moved(100, 102), Some(Direction::Up));
        assert_eq!(moved(100, 98), Some(Direction::Down));
        assert_eq!(moved(100, 101), None);
        assert_eq!(moved(0, 0), None);
        assert_eq!(moved(0, 1), Some(Direction::Up));
        assert_eq!(moved(u64::MAX, 0), Some(Direction::Down));
    }
}
