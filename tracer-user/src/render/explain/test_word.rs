//! Sentences about test runs: changed inputs, and results that Go did not store or use.

use std::collections::{BTreeMap, BTreeSet};

use tracer_core::explain::{Change, InputKind, NotCacheable, NotStored};

use super::word::{list, name, presence};

/// The reason for which Go stores no result.
pub(super) fn not_cacheable(reason: &NotCacheable) -> String {
    match reason {
        NotCacheable::LocalDirectory => {
            "go test had no package argument: Go caches no test result then".to_owned()
        }
        NotCacheable::Argument { flag } => {
            format!("{flag} was set: Go caches no test result with it")
        }
        NotCacheable::Wrapper { command } => {
            format!("-exec {command} was set: Go caches no test result with it")
        }
        NotCacheable::OutsideModule => {
            "the package is outside of a module, GOPATH and GOROOT: Go caches no test result there"
                .to_owned()
        }
    }
}

/// The reason for which the earlier run `run` stored no result.
pub(super) fn not_stored(run: &str, reason: &NotStored) -> String {
    match reason {
        NotStored::Failed => format!("{run} failed: Go caches no failure"),
        NotStored::NotCacheable { reason } => {
            format!("{run} stored no result: {}", not_cacheable(reason))
        }
        NotStored::YoungFile => format!(
            "{run} stored no result: the test had read a file that was modified less than 2 seconds before"
        ),
        NotStored::NotKnown => format!("{run} stored no result; the reason is not known"),
    }
}

/// The result of the earlier run `run` was not used.
pub(super) fn expired(run: &str) -> String {
    format!(
        "same inputs as in {run}, but its result had expired (go clean -testcache) or was deleted"
    )
}

/// True if only modification times changed.
pub(super) fn are_times(changes: &[Change]) -> bool {
    changes
        .iter()
        .all(|it| it.input.kind == InputKind::TestFileTime)
}

/// Only the modification times of files changed, in this package or in several ones.
pub(super) fn times(package: Option<&str>, changes: &[Change]) -> String {
    let files: Vec<String> = changes.iter().map(name).collect();
    match package {
        Some(package) => format!(
            "only the modification time of {} changed in {package}: Go compares it, not the content",
            list(&files)
        ),
        None => "only modification times of files that tests read changed: Go compares them, not the contents"
            .to_owned(),
    }
}

/// The changes of files and variables that a test used: `size and modification time of a.txt changed`.
pub(super) fn inputs(changes: &[&Change]) -> Vec<String> {
    let mut texts = Vec::new();
    let of_kind = |kind: InputKind| {
        let found = changes.iter().filter(move |it| it.input.kind == kind);
        found.copied().collect::<Vec<&Change>>()
    };
    let variables: Vec<String> = of_kind(InputKind::TestVariable)
        .into_iter()
        .map(name)
        .collect();
    if !variables.is_empty() {
        texts.push(format!("variable {} changed", list(&variables)));
    }
    for word in ["added", "removed"] {
        let files = of_kind(InputKind::TestFile);
        let files = files.into_iter().filter(|it| presence(it) == word);
        let files: Vec<String> = files.map(name).collect();
        if !files.is_empty() {
            texts.push(format!("{} {word}", list(&files)));
        }
    }
    // Files with the same changed properties are one text.
    let mut properties: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for change in changes {
        let changed: &[&str] = match change.input.kind {
            InputKind::TestFileSize => &["size"],
            InputKind::TestFileMode => &["mode"],
            InputKind::TestFileTime => &["modification time"],
            InputKind::TestFile if presence(change) == "changed" => {
                &["size", "mode", "or modification time"]
            }
            _ => continue,
        };
        properties.entry(name(change)).or_default().extend(changed);
    }
    let mut files: BTreeMap<BTreeSet<&str>, Vec<String>> = BTreeMap::new();
    for (file, properties) in properties {
        files.entry(properties).or_default().push(file);
    }
    for (properties, files) in files {
        texts.push(format!(
            "{} of {} changed",
            joined(&properties),
            list(&files)
        ));
    }
    texts
}

/// True if [`inputs`] describes such changes.
pub(super) fn is_input(kind: InputKind) -> bool {
    matches!(
        kind,
        InputKind::TestVariable
            | InputKind::TestFile
            | InputKind::TestFileSize
            | InputKind::TestFileMode
            | InputKind::TestFileTime
    )
}

/// `size, mode and modification time`.
fn joined(properties: &BTreeSet<&str>) -> String {
    let order = ["size", "mode", "modification time", "or modification time"];
    let found = order.into_iter().filter(|it| properties.contains(it));
    match found.collect::<Vec<_>>()[..] {
        [one] => one.to_owned(),
        [one, other] => format!("{one} and {other}"),
        [one, two, last] if last.starts_with("or ") => format!("{one}, {two} {last}"),
        [one, two, last] => format!("{one}, {two} and {last}"),
        _ => "facts".to_owned(),
    }
}
