//! Series for the tests of the detectors.

/// Values within 1 % of a centre, in an order without a pattern.
pub(super) fn noisy_around(centre: u64, n: usize) -> Vec<u64> {
    const NOISE: [u64; 16] = [9, 14, 4, 11, 6, 16, 8, 12, 1, 10, 7, 13, 5, 19, 10, 3];
    let noise = NOISE.iter().cycle().take(n);
    noise
        .map(|it| centre - centre / 100 + centre * it / 1000)
        .collect()
}

/// Judges every build of a series, and returns the index and the result of the first finding.
pub(super) fn first<T>(values: &[u64], judge: impl Fn(&[u64]) -> Option<T>) -> Option<(usize, T)> {
    (0..values.len()).find_map(|at| judge(&values[..=at]).map(|it| (at, it)))
}
