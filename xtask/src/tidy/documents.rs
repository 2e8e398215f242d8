//! Rules about references in documents, which must stay correct when code moves.

use clap::CommandFactory as _;

use super::{Complaint, File};
use crate::shell;

/// Checks that a relative link names an existing file.
pub(crate) fn links_resolve(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|it| it.is_markdown()) {
        let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        for (at, line) in file.lines() {
            for target in link_targets(line) {
                let is_elsewhere = target.contains("://")
                    || target.starts_with('#')
                    || target.starts_with("mailto:");
                let path = target.split('#').next().unwrap_or_default();
                if !is_elsewhere && !shell::root().join(dir).join(path).exists() {
                    complaints.push(format!(
                        "{}:{at}: the link target `{target}` does not exist",
                        file.path
                    ));
                }
            }
        }
    }
    complaints
}

/// Targets of the links `[text](target)` in a line.
pub(super) fn link_targets(line: &str) -> Vec<&str> {
    let after_text = line.split("](").skip(1);
    after_text
        .filter_map(|it| it.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// Checks that each `cargo xtask COMMAND` in a document exists.
pub(crate) fn commands_exist(files: &[File]) -> Vec<Complaint> {
    let command = crate::Args::command();
    let is_word = |word: &str| command.get_subcommands().any(|it| it.get_name() == word);
    let mut complaints = Vec::new();
    for file in files.iter().filter(|it| it.is_markdown() || it.is_rust()) {
        for (at, line) in file.lines() {
            for word in line.split("cargo xtask ").skip(1) {
                let letters = word.chars();
                let word: String = letters
                    .take_while(|it| it.is_ascii_lowercase() || *it == '-')
                    .collect();
                if !word.is_empty() && !is_word(&word) {
                    complaints.push(format!(
                        "{}:{at}: `cargo xtask {word}` does not exist",
                        file.path
                    ));
                }
            }
        }
    }
    complaints
}

/// Checks that ARCHITECTURE.md's code map contains each crate of the workspace.
pub(crate) fn members_are_on_the_code_map(files: &[File]) -> Vec<Complaint> {
    let Some(map) = files.iter().find(|it| it.path == "ARCHITECTURE.md") else {
        return vec!["ARCHITECTURE.md: the file is missing".to_owned()];
    };
    let members = files
        .iter()
        .filter_map(|it| it.path.strip_suffix("/Cargo.toml"));
    let unknown = members.filter(|it| !map.text.contains(&format!("`{it}/`")));
    unknown
        .map(|it| format!("ARCHITECTURE.md: the code map lacks `{it}/`"))
        .collect()
}

/// Rejects paths of the authors' machine, because the tree must be valid everywhere.
pub(crate) fn no_local_path_is_named(files: &[File]) -> Vec<Complaint> {
    // Written in parts, so that this file itself passes.
    let places = [
        concat!("/wo", "rk/"),
        concat!("/fa", "rm/"),
        concat!("/tmp/set", "up"),
        concat!("/ro", "ot/"),
    ];
    let mut complaints = Vec::new();
    for file in files.iter().filter(|it| it.path != "Cargo.lock") {
        for (at, line) in file.lines() {
            // A URL's path is not a path of this machine.
            let named = places.iter().find(|it| {
                line.match_indices(**it)
                    .any(|(at, _)| is_path_start(line, at))
            });
            if let Some(place) = named {
                complaints.push(format!(
                    "{}:{at}: names `{place}`, a path of one machine",
                    file.path
                ));
            }
        }
    }
    complaints
}

fn is_path_start(line: &str, at: usize) -> bool {
    let before = line.get(..at).and_then(|it| it.chars().next_back());
    !before.is_some_and(|it| it.is_alphanumeric() || "._-}>".contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> Vec<File> {
        vec![File {
            path: path.to_owned(),
            text: text.to_owned(),
        }]
    }

    #[test]
    fn a_link_to_a_missing_file_is_found() {
        assert!(
            links_resolve(&file(
                "README.md",
                "[a](Cargo.toml) [b](https://example.com/x) [c](#part)"
            ))
            .is_empty()
        );
        assert_eq!(
            links_resolve(&file("docs/x.md", "see [a](Cargo.toml)")).len(),
            1
        );
    }

    #[test]
    fn an_unknown_command_is_found() {
        assert!(
            commands_exist(&file("README.md", "run `cargo xtask test --only live`")).is_empty()
        );
        assert_eq!(
            commands_exist(&file("README.md", concat!("run `cargo xt", "ask dance`"))).len(),
            1
        );
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        assert!(
            no_local_path_is_named(&file(
                "a.rs",
                concat!("https://example.com/wo", "rk/x and home/wo", "rk/y")
            ))
            .is_empty()
        );
        assert_eq!(
            no_local_path_is_named(&file("a.rs", concat!("cd /wo", "rk/main"))).len(),
            1
        );
    }
}
