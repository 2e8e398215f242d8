//! The key of a test run as data: the program, its arguments, and the inputs of the test.

use std::collections::{BTreeMap, BTreeSet};

use crate::golang::{quoted, test_args};
use crate::model::{ActionKey, test_line};
use crate::redact::REDACTED;

use super::diff::{Change, Difference};
use super::input::{InputKind, input};
use super::test_file;
use super::{NotCacheable, NotStored};

/// A test run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TestRun {
    release: String,
    arguments: Option<Vec<String>>,
    /// True if the `go` command had no package argument.
    is_local: bool,
    pub(super) directory: String,
    /// The program, by the ID of its link and by its content. Empty if the `go` command did not check for a stored result.
    pub(super) programs: Vec<Program>,
    /// The inputs of an earlier run, as they were before this run. Absent if Go found no list of inputs.
    pub(super) looked_up: Option<List>,
    /// The inputs of this run. Absent if no result was stored.
    pub(super) stored: Option<List>,
}

/// A test program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    id: String,
    arguments: String,
    /// The words of `-exec`, as a list.
    wrapper: String,
}

/// A list of inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    inputs: Vec<TestInput>,
    /// The facts about a file that was too young: the list ends there.
    young: Option<Vec<String>>,
}

/// A variable or a file that a test used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TestInput {
    /// `env`, `open`, `stat` or `chdir`.
    kind: String,
    /// A file in the directory of the test or below has a relative path.
    name: String,
    value: String,
    facts: Vec<String>,
}

impl TestRun {
    pub(super) fn of(key: &ActionKey) -> Self {
        let mut run = Self::default();
        let mut at = Section::Head;
        for (n, line) in key.lines.iter().enumerate() {
            let line = line.to_str();
            if n == 0 {
                run.release = line.into_owned();
                continue;
            }
            let section = match at {
                Section::Head => None,
                Section::LookedUp => run.looked_up.as_mut(),
                Section::Stored => run.stored.as_mut(),
            };
            match line.trim_end_matches('\n') {
                test_line::LOOKED_UP => {
                    at = Section::LookedUp;
                    run.looked_up = Some(List::default());
                }
                test_line::STORED => {
                    at = Section::Stored;
                    run.stored = Some(List::default());
                }
                line => match section {
                    Some(list) => list.line(line, &run.directory),
                    None => run.head(line),
                },
            }
        }
        run
    }

    fn head(&mut self, line: &str) {
        if let Some(arguments) = line.strip_prefix(test_line::ARGUMENTS) {
            self.arguments = quoted::list(arguments);
        } else if let Some(directory) = line.strip_prefix(test_line::DIRECTORY) {
            directory.clone_into(&mut self.directory);
        } else if line == test_line::LOCAL {
            self.is_local = true;
        } else {
            self.programs.extend(Program::of(line));
        }
    }

    /// The reason for which Go neither uses nor stores a result of this run. `None` if Go does, or if the reason is not known.
    pub(super) fn not_cacheable(&self, has_gaps: bool) -> Option<NotCacheable> {
        if let Some(wrapper) = self.programs.iter().find(|it| it.wrapper != "[]") {
            let command = quoted::list(&wrapper.wrapper).unwrap_or_default().join(" ");
            return Some(NotCacheable::Wrapper { command });
        }
        let arguments = self.arguments.as_ref()?;
        let has_log = arguments.iter().any(|it| it == "-test.testlogfile");
        if has_log || !self.programs.is_empty() {
            return None;
        }
        if let Some(argument) = test_args::first_uncacheable(&self.release, arguments) {
            let flag = test_args::flag(argument);
            return Some(NotCacheable::Argument { flag });
        }
        if self.is_local {
            return Some(NotCacheable::LocalDirectory);
        }
        // No other condition is left.
        let is_known = !has_gaps && test_args::is_known(&self.release);
        is_known.then_some(NotCacheable::OutsideModule)
    }

    /// The reason for which the run stored no result.
    pub(super) fn not_stored(&self, has_failed: bool, has_gaps: bool) -> NotStored {
        if has_failed {
            return NotStored::Failed;
        }
        if let Some(reason) = self.not_cacheable(has_gaps) {
            return NotStored::NotCacheable { reason };
        }
        match &self.stored {
            Some(list) if list.young.is_some() => NotStored::YoungFile,
            _ => NotStored::NotKnown,
        }
    }

    /// True if the run stored its result.
    pub(super) fn has_stored(&self) -> bool {
        self.stored.as_ref().is_some_and(|it| it.young.is_none())
    }

    /// True if both ran the same program with the same arguments.
    pub(super) fn is_same_program(&self, other: &Self) -> bool {
        let is_known = |it: &&Program| !it.arguments.contains(REDACTED);
        let mut known = self.programs.iter().filter(is_known);
        known.any(|it| other.programs.contains(it))
    }

    /// The differences between the program and arguments of `before` and those of this run.
    pub(super) fn program_changes(&self, before: &Self) -> Difference {
        let mut found = Difference::default();
        let (Some(old), Some(new)) = (before.programs.first(), self.programs.first()) else {
            return found;
        };
        let is_same = |it: &Program| before.programs.iter().any(|old| old.id == it.id);
        if !self.programs.iter().any(is_same) {
            let input = input(InputKind::TestProgram, "");
            found.compare("test", input, Some(&old.id), Some(&new.id));
        }
        let (old, new) = (flags(&old.arguments), flags(&new.arguments));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let input = input(InputKind::TestFlag, name);
            found.compare("test", input, old.get(name), new.get(name));
        }
        found
    }

    /// The differences between the inputs that `before` had in its directory, and those before this run. `None` if the lists name different
    /// inputs.
    pub(super) fn input_changes(&self, before: &List, directory: &String) -> Option<Difference> {
        let now = self.looked_up.as_ref()?;
        let (old, new) = (&before.inputs, &now.inputs);
        let is_like =
            |(old, new): (&TestInput, &TestInput)| (&old.kind, &old.name) == (&new.kind, &new.name);
        if before.young.is_some() || old.len() < new.len() || !old.iter().zip(new).all(is_like) {
            return None;
        }
        let mut found = Difference::default();
        let moved = input(InputKind::Directory, "");
        let directories = (Some(directory), Some(&self.directory));
        found.compare("directory", moved, directories.0, directories.1);
        let is_moved = !found.changes.is_empty();
        for (old, new) in old.iter().zip(new) {
            if old.kind == "env" {
                let variable = input(InputKind::TestVariable, &new.name);
                found.compare("env", variable, Some(&old.value), Some(&new.value));
            } else if old.value != new.value {
                let changes = old.file_changes(&new.value, &new.facts, is_moved);
                found.changes.extend(changes);
            }
        }
        match (&now.young, old.get(new.len())) {
            (Some(facts), Some(next)) if next.kind == "open" => {
                found.changes.extend(next.file_changes("", facts, is_moved));
            }
            (None, None) => {}
            _ => return None,
        }
        found.changes.sort();
        found.changes.dedup();
        Some(found)
    }
}

#[derive(Clone, Copy)]
enum Section {
    Head,
    LookedUp,
    Stored,
}

impl Program {
    /// `test binary ID args ["-test.v=true"] execcmd []`.
    fn of(line: &str) -> Option<Self> {
        let (id, rest) = line.strip_prefix("test binary ")?.split_once(" args ")?;
        let (arguments, wrapper) = rest.rsplit_once(" execcmd ")?;
        Some(Self {
            id: id.to_owned(),
            arguments: arguments.to_owned(),
            wrapper: wrapper.to_owned(),
        })
    }
}

/// The flags of `go test` in a list of arguments. Values of the same flag are one value.
fn flags(arguments: &str) -> BTreeMap<String, String> {
    let Some(list) = quoted::list(arguments) else {
        return BTreeMap::from([(String::new(), arguments.to_owned())]);
    };
    let mut flags: BTreeMap<String, String> = BTreeMap::new();
    for argument in &list {
        let flag = test_args::flag(argument);
        let (name, value) = flag.split_once('=').unwrap_or((&flag, ""));
        let values = flags.entry(name.to_owned()).or_default();
        if !values.is_empty() {
            values.push(' ');
        }
        values.push_str(value);
    }
    flags
}

impl List {
    fn line(&mut self, line: &str, directory: &str) {
        if let Some(fact) = line.strip_prefix(test_line::FACT) {
            let last = self.inputs.last_mut().map(|it| &mut it.facts);
            if let Some(facts) = self.young.as_mut().or(last) {
                facts.push(fact.to_owned());
            }
        } else if line == test_line::YOUNG {
            self.young = Some(Vec::new());
        } else {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (name, value) = rest.rsplit_once(' ').unwrap_or((rest, ""));
            self.inputs.push(TestInput {
                kind: kind.to_owned(),
                name: match kind {
                    "env" => name.to_owned(),
                    _ => relative(name, directory),
                },
                value: value.to_owned(),
                facts: Vec::new(),
            });
        }
    }
}

impl TestInput {
    /// The changes of a file. If the facts do not show them, the file itself. Messages about a missing file contain its path, and differ
    /// if the directory of the test differs.
    fn file_changes(&self, value: &str, facts: &[String], is_moved: bool) -> Vec<Change> {
        let changes = test_file::changes(&self.name, &self.facts, facts);
        if let Some(changes) = changes.filter(|it| is_moved || !it.is_empty()) {
            return changes;
        }
        vec![Change {
            input: input(InputKind::TestFile, &self.name),
            before: Some(self.value.clone()),
            after: Some(value.to_owned()),
        }]
    }
}

/// A path from the point of view of a directory. Both are absolute, and clean.
fn relative(path: &str, directory: &str) -> String {
    let below = |directory: &str| {
        let rest = path.strip_prefix(directory)?;
        rest.strip_prefix('/').map(str::to_owned)
    };
    let mut above = String::new();
    let mut directory = directory;
    while !directory.is_empty() {
        if let Some(rest) = below(directory) {
            return above + &rest;
        }
        if path == directory {
            return above + ".";
        }
        directory = directory.rsplit_once('/').map_or("", |it| it.0);
        above.push_str("../");
    }
    path.to_owned()
}
