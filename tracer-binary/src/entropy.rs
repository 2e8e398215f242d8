//! Shannon entropy in bits per byte: 0 for a single value, 8 if all values are equally frequent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of a window. Random bytes of this length measure 7.95, well above the threshold below.
pub const WINDOW: usize = 4096;
/// A window at or above this entropy is called dense: compressed, encrypted or random.
pub const DENSE: f64 = 7.5;
/// Minimum number of windows in a reported run.
const MIN_RUN: usize = 2;
/// Maximum number of runs kept for a section; the longest are kept.
pub const MAX_RUNS: usize = 16;

pub type Histogram = [u64; 256];

/// A range of consecutive dense windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DenseRun {
    /// From the start of the section.
    pub offset: u64,
    pub len: u64,
    /// Mean over its windows.
    pub entropy: f64,
}

/// Counts of one window. 16 bits are enough for the bytes of a window, and keep the tables small.
type WindowCounts = [u16; 256];

/// Counts at most [`WINDOW`] bytes into four tables, so that equal neighbours do not wait for each other. Reading eight
/// bytes at a time and counting in 32 bits takes half the time of single bytes and 16 bits.
fn count_window(bytes: &[u8]) -> WindowCounts {
    let mut tables = [[0u32; 256]; 4];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word);
        for _ in 0..2 {
            for table in &mut tables {
                increment(table, word);
                word >>= 8;
            }
        }
    }
    let [first, second, third, fourth] = &mut tables;
    for &byte in rest {
        increment(first, byte.into());
    }
    let mut sums = [0; 256];
    let counts = first.iter().zip(second).zip(third).zip(fourth);
    for (sum, (((a, b), c), d)) in sums.iter_mut().zip(counts) {
        // A window has fewer than 2^16 bytes.
        *sum = u16::try_from(*a + *b + *c + *d).unwrap_or(u16::MAX);
    }
    sums
}

/// Counts the lowest byte of a word.
#[inline]
fn increment(table: &mut [u32; 256], word: u64) {
    let [byte, ..] = word.to_le_bytes();
    // A byte is always a valid index of 256 elements, so the compiler removes the check.
    if let Some(count) = table.get_mut(usize::from(byte)) {
        *count += 1;
    }
}

fn add(total: &mut Histogram, window: &WindowCounts) {
    for (total, count) in total.iter_mut().zip(window) {
        *total += u64::from(*count);
    }
}

pub fn of_histogram(histogram: &Histogram) -> f64 {
    let total: u64 = histogram.iter().sum();
    if total == 0 {
        return 0.0;
    }
    let total = as_float(total);
    let sum: f64 = histogram
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| as_float(count) * as_float(count).log2())
        .sum();
    (total.log2() - sum / total).max(0.0)
}

pub fn of(bytes: &[u8]) -> f64 {
    let mut histogram = [0; 256];
    for window in bytes.chunks(WINDOW) {
        add(&mut histogram, &count_window(window));
    }
    of_histogram(&histogram)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of bytes is far below 2^52"
)]
fn as_float(count: u64) -> f64 {
    count as f64
}

/// The entropy of a section and of its windows, computed in one pass over the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub histogram: Histogram,
    /// Entropy of each window in hundredths of a bit, which keeps a large file's profile small.
    pub windows: Vec<u16>,
}

/// `n log2 n` for every possible count of a window: a logarithm for each count would cost more than the counting.
pub struct LogTable(Vec<f64>);

impl Default for LogTable {
    fn default() -> Self {
        let term = |count: u64| {
            if count == 0 {
                0.0
            } else {
                as_float(count) * as_float(count).log2()
            }
        };
        Self((0..=WINDOW as u64).map(term).collect())
    }
}

impl LogTable {
    fn window(&self, counts: &WindowCounts, len: usize) -> f64 {
        if len == 0 {
            return 0.0;
        }
        let term = |count: &u16| self.0.get(usize::from(*count)).copied().unwrap_or(0.0);
        let sum: f64 = counts.iter().map(term).sum();
        let total = as_float(len as u64);
        (total.log2() - sum / total).max(0.0)
    }
}

pub fn profile(bytes: &[u8], logs: &LogTable) -> Profile {
    let mut profile = Profile::for_bytes(bytes.len());
    profile.add(bytes, logs);
    profile
}

impl Profile {
    /// An empty profile, with room for the windows of `len` bytes.
    pub fn for_bytes(len: usize) -> Self {
        Self {
            histogram: [0; 256],
            windows: Vec::with_capacity(len.div_ceil(WINDOW)),
        }
    }

    /// Adds the next bytes: whole windows, except at the end of the section.
    pub fn add(&mut self, bytes: &[u8], logs: &LogTable) {
        for window in bytes.chunks(WINDOW) {
            let counts = count_window(window);
            self.windows
                .push(hundredths(logs.window(&counts, window.len())));
            add(&mut self.histogram, &counts);
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "entropy is between 0 and 8"
)]
fn hundredths(entropy: f64) -> u16 {
    (entropy * 100.0).round() as u16
}

/// Rounds to the displayed precision, so that files and texts agree.
pub fn rounded(entropy: f64) -> f64 {
    (entropy * 1000.0).round() / 1000.0
}

/// Runs of dense windows, longest first, and the number of all runs.
pub fn dense_runs(profile: &Profile, len: u64) -> (Vec<DenseRun>, usize) {
    let mut runs = Vec::new();
    let threshold = hundredths(DENSE);
    let mut start = 0;
    for group in profile
        .windows
        .chunk_by(|a, b| (*a >= threshold) == (*b >= threshold))
    {
        let is_dense = group.first().is_some_and(|window| *window >= threshold);
        if is_dense && group.len() >= MIN_RUN {
            let sum: u64 = group.iter().map(|&window| u64::from(window)).sum();
            let offset = (start * WINDOW) as u64;
            runs.push(DenseRun {
                offset,
                len: ((group.len() * WINDOW) as u64).min(len - offset.min(len)),
                entropy: rounded(as_float(sum) / as_float(group.len() as u64) / 100.0),
            });
        }
        start += group.len();
    }
    let count = runs.len();
    runs.sort_by_key(|run| std::cmp::Reverse(run.len));
    runs.truncate(MAX_RUNS);
    runs.sort_by_key(|run| run.offset);
    (runs, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_bytes() {
        let all: Vec<u8> = (0..=255).cycle().take(8192).collect();
        assert!(of(&[]) < 1e-9);
        assert!(of(&[7; 1000]) < 1e-9);
        assert!((of(&[0, 1].repeat(100)) - 1.0).abs() < 1e-9);
        assert!((of(&all) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn a_dense_run_is_where_it_is() {
        let mut bytes = vec![0u8; 10 * WINDOW];
        for (number, byte) in bytes
            .iter_mut()
            .enumerate()
            .skip(3 * WINDOW)
            .take(4 * WINDOW)
        {
            *byte = number.to_le_bytes()[0];
        }
        let profile = profile(&bytes, &LogTable::default());
        let (runs, count) = dense_runs(&profile, bytes.len() as u64);
        assert_eq!(count, 1);
        assert_eq!(
            runs.first().map(|run| (run.offset, run.len)),
            Some((3 * 4096, 4 * 4096))
        );
        assert!((of_histogram(&profile.histogram) - of(&bytes)).abs() < 1e-9);
    }
}
