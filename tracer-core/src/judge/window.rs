//! The mean of the last builds and the lines k standard deviations around it. These are values to draw, not a judgement: with k = 1.5,
//! about one build in eight of an unchanged metric is outside of the lines.

use super::statistics::moments;

/// Builds in the window.
const WINDOW: usize = 60;
/// Standard deviations between the mean and a line.
const K: f64 = 1.5;

/// Mean and lines, in the unit of the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    pub lower: f64,
    pub mean: f64,
    pub upper: f64,
}

impl Band {
    /// Returns the band of the last builds. `None` without a build.
    pub fn of(values: &[u64]) -> Option<Self> {
        let window = &values[values.len().saturating_sub(WINDOW)..];
        let (mean, variance) = moments(window)?;
        let distance = K * variance.sqrt();
        Some(Self {
            lower: (mean - distance).max(0.0),
            mean,
            upper: mean + distance,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_last_builds_count() {
        let mut values = vec![1_000_000; 10];
        values.extend([100; WINDOW]);
        let band = Band::of(&values).unwrap();
        assert_eq!((band.lower, band.mean, band.upper), (100.0, 100.0, 100.0));
        assert_eq!(Band::of(&[]), None);
    }

    #[test]
    fn the_lines_are_one_and_a_half_deviations_away() {
        let band = Band::of(&[90, 110, 90, 110, 100]).unwrap();
        assert_eq!((band.lower, band.mean, band.upper), (85.0, 100.0, 115.0));
    }

    proptest! {
        #[test]
        fn the_mean_is_between_the_lines(values in prop::collection::vec(any::<u64>(), 1..100)) {
            let band = Band::of(&values).unwrap();
            prop_assert!(band.lower.is_finite() && band.upper.is_finite());
            prop_assert!(0.0 <= band.lower && band.lower <= band.mean && band.mean <= band.upper);
        }
    }
}
