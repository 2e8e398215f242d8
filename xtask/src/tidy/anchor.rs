//! Checks that a link to a heading names an existing heading.
//!
//! Anchors follow GitHub's rules: lower case, without punctuation, a dash for each space. Links to other sites and to files other
//! than Markdown are not checked; `documents` checks whether a file exists.

use std::collections::BTreeMap;

use super::documents::link_targets;
use super::{Complaint, File};

/// Checks that a link with `#anchor` names a heading.
pub(crate) fn anchors_resolve(files: &[File]) -> Vec<Complaint> {
    let documents = files.iter().filter(|it| it.is_markdown());
    let anchors: BTreeMap<&str, Vec<String>> = documents
        .clone()
        .map(|it| (it.path.as_str(), anchors(&it.text)))
        .collect();
    let mut complaints = Vec::new();
    for file in documents {
        for (at, line) in file.lines() {
            for target in link_targets(line) {
                let Some((path, anchor)) = target.split_once('#') else {
                    continue;
                };
                let path = resolved(&file.path, path);
                let is_missing = |it: &Vec<String>| !it.iter().any(|it| it == anchor);
                if anchors.get(path.as_str()).is_some_and(is_missing) {
                    complaints.push(format!(
                        "{}:{at}: `{path}` has no heading for `#{anchor}`",
                        file.path
                    ));
                }
            }
        }
    }
    complaints
}

/// Path of a link relative to the root; the file itself if the link has no path.
fn resolved(from: &str, link: &str) -> String {
    if link.is_empty() {
        return from.to_owned();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn anchors(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut anchors = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code && line.starts_with('#') {
            anchors.push(anchor(line.trim_start_matches('#').trim()));
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    let dashed = kept.map(|it| if it == ' ' { '-' } else { it });
    dashed.collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let other = "# One page\n\n```\n# Not this\n```\n### `[otlp]` and more\n";
        anchors_resolve(&[file("docs/a.md", text), file("b.md", other)]).len()
    }

    #[test]
    fn a_link_to_a_missing_heading_is_found() {
        assert_eq!(found("[x](../b.md#one-page) [y](../b.md#otlp-and-more)"), 0);
        assert_eq!(found("[x](../b.md#two-pages)"), 1);
        assert_eq!(found("[x](../b.md#not-this)"), 1);
        assert_eq!(found("# Here\n[x](#here)"), 0);
        assert_eq!(found("# Here\n[x](#there)"), 1);
    }

    #[test]
    fn other_link_targets_are_ignored() {
        assert_eq!(
            found("[x](https://example.com/b.md#x) [y](c.rs#x) [z](../b.md)"),
            0
        );
    }
}
