//! The section `[textfile]`.

use std::path::PathBuf;

use serde::Deserialize;

/// Directory and interval of the metrics file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextfileSettings {
    /// The argument of `node_exporter --collector.textfile.directory`.
    pub directory: PathBuf,
    /// Interval between two writes of the file.
    #[serde(default = "every_seconds")]
    pub every_seconds: u32,
}

fn every_seconds() -> u32 {
    15
}
