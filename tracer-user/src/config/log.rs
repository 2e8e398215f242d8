//! The section `[log]`, and the flags and variables with the same meaning.

use serde::Deserialize;

use crate::log::{Format, Level, LogConfig};

/// The values of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    pub level: Option<Level>,
    pub format: Option<Format>,
}

impl LogSettings {
    /// The values of this source, and of the weaker one where this source has none.
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        Self {
            level: self.level.or(weaker.level),
            format: self.format.or(weaker.format),
        }
    }

    /// Fills the gaps with the defaults.
    pub fn config(self) -> LogConfig {
        LogConfig {
            level: self.level.unwrap_or_default(),
            format: self.format.unwrap_or_default(),
        }
    }
}
