//! The queries of the dashboard's panels.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "in a test harness a panic is the failure of the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One query of a panel.
#[derive(Debug)]
pub struct PanelQuery {
    pub panel: String,
    pub expr: String,
    /// The name of a line, with labels in `{{}}`.
    pub legend: String,
}

/// The directory of the dashboard and of the rules.
pub fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/gotrace/files")
}

/// All queries, with Grafana's variables replaced as Grafana does: for all projects, these instances, and rates over `interval`.
pub fn queries(interval: &str, instances: &str) -> Vec<PanelQuery> {
    let text = fs::read_to_string(files().join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().unwrap();
        targets.iter().map(|it| (panel["title"].clone(), it))
    });
    let word = |it: &Value| it.as_str().unwrap().to_owned();
    let filled = targets.map(|(title, target)| PanelQuery {
        panel: word(&title),
        expr: word(&target["expr"])
            .replace("$__rate_interval", interval)
            .replace("$__range", "1h")
            .replace("$project", ".*")
            .replace("$instance", instances),
        legend: word(&target["legendFormat"]),
    });
    filled.collect()
}
