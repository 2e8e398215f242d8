//! The section `[textfile]`.

use std::path::PathBuf;

use serde::Deserialize;

/// Where the metrics are written, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextfileSettings {
    /// What `node_exporter` was given with `--collector.textfile.directory`.
    pub directory: PathBuf,
    /// The file is written again after so long.
    #[serde(default = "every_seconds")]
    pub every_seconds: u32,
}

fn every_seconds() -> u32 {
    15
}
