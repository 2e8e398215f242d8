//! The Mann-Whitney rank-sum test, as the normal approximation with ties and continuity correction.
//!
//! H. B. Mann and D. R. Whitney, Annals of Mathematical Statistics 18 (1947); for ties, E. L. Lehmann, "Nonparametrics", section 1.4.

use super::statistics::count;

/// Returns the deviation of the later values' ranks from chance, in sigmas: positive if they are larger. 0 if all values are equal.
pub(super) fn rank_sum(earlier: &[u64], later: &[u64]) -> f64 {
    let (n_earlier, n_later) = (count(earlier.len()), count(later.len()));
    let n = n_earlier + n_later;
    let mut all: Vec<(u64, bool)> = Vec::with_capacity(earlier.len() + later.len());
    all.extend(earlier.iter().map(|it| (*it, false)));
    all.extend(later.iter().map(|it| (*it, true)));
    all.sort_unstable();
    let (mut rank, mut sum, mut ties) = (0.0, 0.0, 0.0);
    for equal in all.chunk_by(|a, b| a.0 == b.0) {
        let size = count(equal.len());
        let mean_rank = rank + f64::midpoint(size, 1.0);
        sum += mean_rank * count(equal.iter().filter(|it| it.1).count());
        ties += size.powi(3) - size;
        rank += size;
    }
    let u = sum - n_later * (n_later + 1.0) / 2.0;
    let distance = u - n_earlier * n_later / 2.0;
    let variance = n_earlier * n_later / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    // Also for no value, and for one: the quotient above is then undefined.
    if variance.is_nan() || variance <= 0.0 {
        return 0.0;
    }
    distance.signum() * (distance.abs() - 0.5).max(0.0) / variance.sqrt()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The deviation by hand: U is 0 of 25, mean 12.5, variance 25 * 11 / 12.
    #[test]
    fn separate_samples_deviate_most() {
        let z = rank_sum(&[1, 2, 3, 4, 5], &[6, 7, 8, 9, 10]);
        assert!((z - 12.0 / (275.0_f64 / 12.0).sqrt()).abs() < 1e-12, "{z}");
    }

    /// With ties: ranks 1.5, 1.5, 4 against 4, 4, 6, so U is 8 of 9, and the ties 2 and 3 sum to 30.
    #[test]
    fn ties_reduce_the_variance() {
        let z = rank_sum(&[1, 1, 2], &[2, 2, 3]);
        let variance = 9.0 / 12.0 * (7.0 - 30.0 / 30.0);
        assert!((z - 3.0 / f64::sqrt(variance)).abs() < 1e-12, "{z}");
    }

    #[test]
    fn without_a_difference_nothing_deviates() {
        assert_eq!(rank_sum(&[], &[]), 0.0);
        assert_eq!(rank_sum(&[7], &[]), 0.0);
        assert_eq!(rank_sum(&[7; 9], &[7; 3]), 0.0);
    }

    proptest! {
        #[test]
        fn exchanged_samples_deviate_to_the_other_side(
            earlier in prop::collection::vec(any::<u64>(), 0..40),
            later in prop::collection::vec(0_u64..9, 0..40),
        ) {
            let (there, back) = (rank_sum(&earlier, &later), rank_sum(&later, &earlier));
            prop_assert!(there.is_finite() && (there + back).abs() < 1e-9);
        }
    }
}
