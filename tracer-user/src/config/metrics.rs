//! The section `[metrics]`.

use serde::Deserialize;

/// Optional parts of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// The histograms of phases, which are most of the page.
    pub phases: bool,
    /// The creation times of counters and histograms, in `OpenMetrics` only.
    pub created: bool,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            phases: true,
            created: false,
        }
    }
}
