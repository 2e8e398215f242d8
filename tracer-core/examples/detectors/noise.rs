//! Noise of metrics, as measured: 300 compilations of `go/parser` with Go 1.27.3 on two shared virtual CPUs, one after another.

use crate::random::Random;

/// Quantiles of the CPU time in steps of 5 %, in thousandths of the median.
const CPU: [f64; 21] = [
    835.0, 883.0, 900.0, 909.0, 921.0, 930.0, 945.0, 955.0, 970.0, 982.0, 1001.0, 1013.0, 1036.0,
    1051.0, 1061.0, 1084.0, 1115.0, 1138.0, 1187.0, 1271.0, 1587.0,
];
/// Quantiles of the peak memory.
const MEMORY: [f64; 21] = [
    987.0, 992.0, 994.0, 995.0, 996.0, 997.0, 998.0, 998.0, 999.0, 999.0, 1000.0, 1001.0, 1001.0,
    1002.0, 1002.0, 1002.0, 1003.0, 1004.0, 1006.0, 1008.0, 1014.0,
];

/// A class of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// CPU time on a busy machine: builds near each other in time are alike.
    Cpu,
    /// CPU time on a quiet machine: a fifth of the noise, and each build by itself.
    QuietCpu,
    Memory,
    /// Bytes, without noise.
    Size,
    /// Packages of a program, without noise.
    Count,
}

impl Class {
    pub(crate) const ALL: [Self; 5] = [
        Self::Cpu,
        Self::QuietCpu,
        Self::Memory,
        Self::Size,
        Self::Count,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU, busy machine",
            Self::QuietCpu => "CPU, quiet machine",
            Self::Memory => "peak memory",
            Self::Size => "size",
            Self::Count => "count",
        }
    }

    /// Typical value: 2 s, 80 MB, 20 MB, 300 packages.
    pub(crate) fn typical(self) -> f64 {
        match self {
            Self::Cpu | Self::QuietCpu => 2e9,
            Self::Memory => 8e7,
            Self::Size => 2e7,
            Self::Count => 300.0,
        }
    }

    /// Correlation of one build with the next one, as measured.
    fn correlation(self) -> f64 {
        match self {
            Self::Cpu => 0.6,
            Self::Memory => 0.2,
            Self::QuietCpu | Self::Size | Self::Count => 0.0,
        }
    }

    /// Factors around 1 for a series of builds.
    pub(crate) fn factors(self, n: usize, random: &mut Random) -> Vec<f64> {
        let correlation = self.correlation();
        let mut state = random.normal();
        let mut factor = || {
            let new = (1.0 - correlation * correlation).sqrt() * random.normal();
            state = correlation * state + new;
            match self {
                Self::Cpu => quantile(&CPU, state),
                Self::QuietCpu => 1.0 + (quantile(&CPU, state) - 1.0) / 5.0,
                Self::Memory => quantile(&MEMORY, state),
                Self::Size | Self::Count => 1.0,
            }
        };
        (0..n).map(|_| factor()).collect()
    }
}

/// The quantile of a standard normal number. Its probability is approximated by a logistic curve, to 0.01.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index from 0 to 20"
)]
fn quantile(table: &[f64; 21], normal: f64) -> f64 {
    let place = 20.0 / (1.0 + (-1.702 * normal).exp());
    let below = table[(place.floor() as usize).min(20)];
    let above = table[(place.ceil() as usize).min(20)];
    (below + (above - below) * place.fract()) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_cover_the_table() {
        assert!((quantile(&CPU, -9.0) - 0.835).abs() < 1e-3);
        assert!((quantile(&CPU, 0.0) - 1.001).abs() < 1e-3);
        assert!((quantile(&CPU, 9.0) - 1.587).abs() < 1e-3);
    }
}
