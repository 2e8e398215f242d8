//! Builds files and analyses them. Every analysis here must add up.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Module, NO_GC, Toolchain, run_gotrace};

pub(crate) const NO_ENV: [(&str, &str); 0] = [];

/// Builds a module for a target into its own file.
pub(crate) fn build(
    module: &Module,
    toolchain: &Toolchain,
    env: &[(&str, &str)],
    args: &[&str],
) -> PathBuf {
    let name: Vec<_> = env
        .iter()
        .filter(|(name, _)| *name != "GOCACHE")
        .map(|it| it.1)
        .chain(args.iter().copied())
        .collect();
    let name = name.join("_").replace(['=', ' ', '/'], "-");
    let out = module
        .sandbox
        .out()
        .join(format!("{}-{name}", toolchain.version));
    let mut words = vec!["build", "-o", out.to_str().unwrap()];
    words.extend(args);
    words.push(".");
    let built = module
        .go(toolchain, &words)
        .envs(NO_GC)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{words:?} {env:?}: {}",
        String::from_utf8_lossy(&built.stderr)
    );
    out
}

pub(crate) fn analyze(file: &Path) -> Value {
    let args = [
        Path::new("analyze"),
        Path::new("--format"),
        Path::new("json"),
        file,
    ];
    let output = run_gotrace(args, NO_ENV);
    assert!(
        output.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let analysis: Value = serde_json::from_slice(&output.stdout).unwrap();
    adds_up(&analysis, file);
    analysis
}

pub(crate) fn sum(rows: &Value, field: &str) -> u64 {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row[field].as_u64().unwrap())
        .sum()
}

/// Checks that every grouping counts every byte of the file once.
fn adds_up(analysis: &Value, file: &Path) {
    let size = fs::metadata(file).unwrap().len();
    let path = file.display();
    assert_eq!(analysis["size"], size, "{path}");
    for grain in ["buckets", "groups", "contents"] {
        assert_eq!(sum(&analysis[grain], "bytes"), size, "{grain} of {path}");
    }
    assert_eq!(
        sum(&analysis["modules"], "bytes"),
        sum(&analysis["packages"], "bytes"),
        "modules of {path}"
    );
    assert_eq!(analysis["notes"], serde_json::json!([]), "{path}");
}

pub(crate) fn content(analysis: &Value, name: &str) -> u64 {
    let rows = analysis["contents"].as_array().unwrap();
    rows.iter()
        .filter(|row| row["content"] == name)
        .map(|row| row["bytes"].as_u64().unwrap())
        .sum()
}
