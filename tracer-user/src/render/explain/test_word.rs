//! Sentences about test runs: changed inputs, and results that Go did not store or use.

use std::collections::{BTreeMap, BTreeSet};

use tracer_core::explain::{Change, InputKind, NotCacheable, NotStored};

use super::word::{list, name, presence};

/// The properties of a file whose changes have a kind of their own.
const PROPERTIES: [(InputKind, &str); 3] = [
    (InputKind::TestFileSize, "size"),
    (InputKind::TestFileMode, "mode"),
    (InputKind::TestFileTime, "modification time"),
];
/// One of these properties changed.
const NOT_KNOWN: [&str; 3] = ["size", "mode", "or modification time"];

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
        let kind = change.input.kind;
        let known = PROPERTIES.iter().find(|it| it.0 == kind);
        let words = match known {
            Some((_, property)) => std::slice::from_ref(property),
            None if kind == InputKind::TestFile && presence(change) == "changed" => &NOT_KNOWN[..],
            None => continue,
        };
        properties.entry(name(change)).or_default().extend(words);
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

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use tracer_core::explain::Input;

    use super::*;

    fn change(kind: InputKind, name: &str, before: Option<&str>, after: Option<&str>) -> Change {
        Change {
            input: Input {
                kind,
                name: Some(name.to_owned()),
            },
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        }
    }

    #[test]
    fn files_with_the_same_changes_are_one_text() {
        use InputKind as Kind;
        let both = (Some("1"), Some("2"));
        let changes = [
            change(Kind::TestFile, "gone", Some(""), None),
            change(Kind::TestFile, "hashed", both.0, both.1),
            change(Kind::TestFile, "new", None, Some("")),
            change(Kind::TestFileMode, "a", both.0, both.1),
            change(Kind::TestFileSize, "a", both.0, both.1),
            change(Kind::TestFileTime, "a", both.0, both.1),
            change(Kind::TestFileSize, "b", both.0, both.1),
            change(Kind::TestFileTime, "b", both.0, both.1),
            change(Kind::TestFileSize, "c", both.0, both.1),
            change(Kind::TestFileTime, "c", both.0, both.1),
            change(Kind::TestVariable, "MODE", both.0, both.1),
        ];
        let changes: Vec<&Change> = changes.iter().collect();
        expect![[r#"
            variable MODE changed
            new added
            gone removed
            size, mode and modification time of a changed
            size, mode or modification time of hashed changed
            size and modification time of b, c changed"#]]
        .assert_eq(&inputs(&changes).join("\n"));
    }
}
