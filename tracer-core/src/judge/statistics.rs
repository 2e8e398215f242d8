//! Medians, deviations and ranks of unsigned values. Sums are doubles, so no value overflows.

/// Scale between the median absolute deviation and the standard deviation of normal noise.
pub(super) const SIGMA_OF_MAD: f64 = 1.4826;
/// Largest correlation of neighbouring builds that counts.
const MOST_ALIKE: f64 = 0.95;

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes and nanoseconds are exact up to 2^53, and a statistic needs less"
)]
pub(super) fn real(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "a number of builds")]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}

/// The middle value, or the mean of the two middle values.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let lower = values.get(values.len().checked_sub(1)? / 2)?;
    let upper = values.get(values.len() / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

/// Mean and variance about it. The divisor of the variance is one less than the number of values.
pub(super) fn moments(values: &[u64]) -> Option<(f64, f64)> {
    let sum = values.iter().map(|it| real(*it)).sum::<f64>();
    let mean = sum / count(values.len());
    (!values.is_empty()).then(|| (mean, variance(values, mean)))
}

/// Variance about any centre, 0 for fewer than two values.
pub(super) fn variance(values: &[u64], centre: f64) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let squares = values.iter().map(|it| (real(*it) - centre).powi(2));
    squares.sum::<f64>() / count(values.len() - 1)
}

/// Factor on a deviation of means in sigmas, for noise in which neighbouring builds are alike. 1 for independent builds.
///
/// The factor is `sqrt((1 - r) / (1 + r))`, with r the correlation of neighbours that chance does not explain. The mean of an
/// autoregressive series of order 1 has a variance that is `(1 + r) / (1 - r)` times that of independent values.
pub(super) fn independence(values: &[u64]) -> f64 {
    let Some((mean, _)) = moments(values) else {
        return 1.0;
    };
    let distance = |value: &u64| real(*value) - mean;
    let own: f64 = values.iter().map(|it| distance(it).powi(2)).sum();
    let neighbours = values.iter().zip(values.iter().skip(1));
    let shared: f64 = neighbours.map(|(a, b)| distance(a) * distance(b)).sum();
    if own == 0.0 {
        return 1.0;
    }
    let chance = 2.0 / count(values.len()).sqrt();
    let r = (shared / own - chance).clamp(0.0, MOST_ALIKE);
    ((1.0 - r) / (1.0 + r)).sqrt()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results")]
mod tests {
    use super::*;

    #[test]
    fn a_median_has_as_many_values_on_both_sides() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn moments_are_those_of_a_sample() {
        assert_eq!(moments(&[]), None);
        assert_eq!(moments(&[5]), Some((5.0, 0.0)));
        assert_eq!(moments(&[1, 2, 3, 4]), Some((2.5, 5.0 / 3.0)));
        let (mean, variance) = moments(&[u64::MAX; 3]).unwrap();
        assert!(mean.is_finite() && variance.is_finite());
    }

    #[test]
    fn neighbours_that_are_alike_count_less() {
        assert_eq!(independence(&[]), 1.0);
        assert_eq!(independence(&[7; 9]), 1.0);
        assert_eq!(independence(&[1, 9].repeat(20)), 1.0);
        let alike: Vec<u64> = (0..60).map(|it| it / 20 % 2).collect();
        assert!(independence(&alike) < 0.5);
    }
}
