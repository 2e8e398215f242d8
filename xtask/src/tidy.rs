//! `cargo xtask tidy`: checks house rules that the compiler does not check, in all files that git lists.
//!
//! Every rule is a function from the tree to complaints. Rules read text, not syntax, and are simple enough that a false alarm is
//! rare and obvious. Style rules of rustfmt and clippy are not repeated here.

mod anchor;
mod documents;
mod literal;
mod markdown;
mod message;
mod prose;
mod sources;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// A text file of the checkout.
struct File {
    /// Path relative to the root.
    path: String,
    text: String,
}

/// Text in the form `path:line: what is wrong`.
type Complaint = String;

type Rule = fn(&[File]) -> Vec<Complaint>;

const RULES: &[Rule] = &[
    sources::files_are_short,
    sources::modules_have_docs,
    sources::dependencies_point_one_way,
    sources::no_test_skips_itself,
    sources::the_history_is_opened_in_one_file,
    documents::links_resolve,
    anchor::anchors_resolve,
    documents::commands_exist,
    documents::members_are_on_the_code_map,
    documents::no_local_path_is_named,
    prose::documents_are_plain,
    message::messages_are_plain,
];

pub(crate) fn run() -> Result<()> {
    let files = tree()?;
    let complaints: Vec<Complaint> = RULES.iter().flat_map(|rule| rule(&files)).collect();
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!(
            "tidy: {} complaints in {} files",
            complaints.len(),
            files.len()
        );
    }
    eprintln!("tidy: {} rules over {} files", RULES.len(), files.len());
    Ok(())
}

/// Text files that git tracks or would track.
fn tree() -> Result<Vec<File>> {
    let listed = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let listed = shell::read(Command::new("git").args(listed).current_dir(shell::root()))
        .context("cannot list the files of the checkout")?;
    let mut files = Vec::new();
    for path in listed.split_terminator('\0') {
        // A listed file that does not exist is an uncommitted deletion.
        if let Ok(bytes) = fs::read(shell::root().join(path))
            && let Ok(text) = String::from_utf8(bytes)
        {
            files.push(File {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

impl File {
    fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    fn is_markdown(&self) -> bool {
        self.has_extension("md")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|it| it == extension)
    }

    /// Lines with their numbers, from one.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }

    /// As [`File::lines`], up to the module of inline tests.
    fn lines_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
    }
}
