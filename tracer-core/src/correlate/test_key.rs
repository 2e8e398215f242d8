//! The keys of a test run, from which the `go` command decides whether a stored result is used: `testResult` and `testInputs`.
//!
//! Neither names a package. The package is that of the enclosing action: the link of the test program, or the run itself. `testResult`
//! covers the program, by the ID of its link and then by its content, and the arguments. `testInputs` covers the variables and files that
//! an earlier run used, and after the run those that it used itself. The hash of a file is a key of its own, whose lines are the file's
//! size, mode and time. Source: `tryCacheWithID`, `computeTestInputsID` and `saveOutput` of `cmd/go/internal/test/test.go`, Go 1.19 to 1.27.

use std::collections::BTreeMap;

use crate::byte_string::ByteString;
use crate::event::Captured;
use crate::golang::quoted;
use crate::hex::hex;
use crate::model::{Action, ActionKey, CallKind, KeyKind, ToolCall, test_line};

use super::key::{Key, hash, text};
use super::process::{Image, Process};
use super::{Correlator, action};

/// Most facts about files in one key. Further files have only their hash.
const FACTS_MAX: usize = 10_000;
/// The argument that makes a test write the names of its inputs. Its value is in the work directory.
const LOG: &str = "-test.testlogfile";

/// The keys of all test runs of a `go` process.
pub(super) struct TestKeys<'a> {
    correlator: &'a Correlator,
    /// By package, in order of time.
    by_package: BTreeMap<ByteString, Vec<&'a Key>>,
    /// The release of Go, which each key begins with.
    release: ByteString,
    names_packages: bool,
}

impl<'a> TestKeys<'a> {
    pub(super) fn of(
        correlator: &'a Correlator,
        process: &'a Process,
        names_packages: bool,
    ) -> Self {
        let mut by_package: BTreeMap<ByteString, Vec<&Key>> = BTreeMap::new();
        for key in process.keys.all() {
            let is_own = matches!(
                key.name.as_str(),
                "testResult" | "testInputs" | "open" | "stat"
            );
            if let Some(package) = tested(process, key).filter(|_| is_own) {
                by_package.entry(package).or_default().push(key);
            }
        }
        for keys in by_package.values_mut() {
            keys.sort_by_key(|it| it.at);
        }
        let release = process.keys.all().find_map(|it| it.lines.first()?.get());
        Self {
            correlator,
            by_package,
            release: release.cloned().unwrap_or_default(),
            names_packages,
        }
    }

    /// The key of a run. `None` if no test program was seen.
    pub(super) fn key(
        &self,
        index: u32,
        action: &Action,
        calls: &[ToolCall],
        has_losses: bool,
    ) -> Option<ActionKey> {
        let package = action.package.as_ref()?;
        let own = action.calls.iter().filter_map(|it| calls.get(*it as usize));
        let call = own.clone().find(|it| it.kind == CallKind::Test)?;
        let image = self.correlator.table.get(call.process)?.image()?;
        let keys = self.by_package.get(package).map_or(&[][..], Vec::as_slice);
        let mut lines = Lines::of(keys, has_losses);
        lines.push(&Captured::Whole(self.release.clone()));
        let has_log = lines.arguments(image);
        if !self.names_packages {
            lines.add(test_line::LOCAL);
        }
        if let Some(dir) = &image.cwd {
            lines.add(&format!("{}{}", test_line::DIRECTORY, dir.to_str()));
        }
        let results = keys.iter().filter(|it| it.name == "testResult");
        for key in results.clone() {
            lines.program(key);
        }
        lines.has_gaps |= has_log && results.clone().next().is_none();
        let is_before = |it: &&&Key| it.at < call.start;
        let inputs = keys.iter().filter(|it| it.name == "testInputs");
        if let Some(key) = inputs.clone().rfind(is_before) {
            lines.inputs(test_line::LOOKED_UP, key, keys);
        }
        if let Some(key) = inputs.clone().rfind(|it| !is_before(it)) {
            lines.inputs(test_line::STORED, key, keys);
        }
        Some(ActionKey {
            kind: KeyKind::Test,
            package: package.clone(),
            action: index,
            id: None,
            lines: lines.written,
            cut: lines.cut,
            has_gaps: lines.has_gaps,
        })
    }
}

/// The package of the test whose action the key was opened in.
fn tested(process: &Process, key: &Key) -> Option<ByteString> {
    let span = process.spans.get(key.span?)?;
    let (mode, package) = action::parse(&span.name)?;
    let package = package?;
    match mode.as_str() {
        "test run" => Some(package),
        "link" => package
            .as_bytes()
            .strip_suffix(b".test")
            .map(ByteString::from),
        _ => None,
    }
}

/// The lines of a key under construction.
struct Lines<'a> {
    written: Vec<ByteString>,
    cut: Vec<u32>,
    has_gaps: bool,
    /// Facts about files, by their hash.
    facts: BTreeMap<String, &'a Key>,
    n_facts: usize,
}

impl<'a> Lines<'a> {
    fn of(keys: &[&'a Key], has_gaps: bool) -> Self {
        let files = keys
            .iter()
            .filter(|it| matches!(it.name.as_str(), "open" | "stat"));
        let facts = files.filter_map(|it| Some((hex(&hash(it)?), *it)));
        Self {
            written: Vec::new(),
            cut: Vec::new(),
            has_gaps,
            facts: facts.collect(),
            n_facts: 0,
        }
    }

    fn add(&mut self, line: &str) {
        self.written.push(ByteString::from(line));
    }

    fn push(&mut self, line: &Captured<ByteString>) {
        if !matches!(line, Captured::Whole(_)) {
            self.cut.extend(u32::try_from(self.written.len()));
        }
        self.written.push(text(line));
    }

    /// The arguments of the test program, behind a wrapper or not. Returns true if the test had to write the names of its inputs.
    fn arguments(&mut self, image: &Image) -> bool {
        let args = image.argv.iter().map(ByteString::to_str);
        let args = args.skip_while(|it| !it.starts_with("-test."));
        let args: Vec<String> = args
            .map(|it| match it.split_once('=') {
                Some((LOG, _)) => LOG.to_owned(),
                _ => it.into_owned(),
            })
            .collect();
        let line = format!("{}{}", test_line::ARGUMENTS, quoted::to_list(&args));
        let line = ByteString::from(line);
        let is_cut = image.cut.contains(&"arguments");
        let total = u64::try_from(line.as_bytes().len()).unwrap_or(u64::MAX);
        self.push(&if is_cut {
            Captured::Cut { kept: line, total }
        } else {
            Captured::Whole(line)
        });
        args.iter().any(|it| it == LOG)
    }

    /// The line of a key `testResult`, after the release.
    fn program(&mut self, key: &Key) {
        self.has_gaps |= !key.is_closed || key.lines.len() != 2;
        if let Some(line) = key.lines.get(1) {
            self.push(line);
        }
    }

    /// The lines of a key `testInputs`, after the release.
    fn inputs(&mut self, begin: &str, key: &Key, keys: &[&Key]) {
        self.add(begin);
        for line in key.lines.iter().skip(1) {
            self.push(line);
            let line = text(line);
            let hash = line.to_str();
            let hash = hash.trim_end().rsplit(' ').next().unwrap_or_default();
            if let Some(file) = self.facts.get(hash).copied() {
                self.facts(file);
            }
        }
        if key.is_closed {
            return;
        }
        // Go gives up at a file that is too young, and leaves both keys open.
        let young = keys.iter().rfind(|it| {
            it.name == "open" && !it.is_closed && it.span == key.span && it.at >= key.at
        });
        match young {
            Some(young) => {
                self.add(test_line::YOUNG);
                self.facts(young);
            }
            None => self.has_gaps = true,
        }
    }

    /// The lines of the key of a file, after the release.
    fn facts(&mut self, file: &Key) {
        let n = file.lines.len().saturating_sub(1);
        if n > FACTS_MAX.saturating_sub(self.n_facts) {
            return;
        }
        self.n_facts += n;
        for line in file.lines.iter().skip(1) {
            let fact = [test_line::FACT.as_bytes(), text(line).as_bytes()].concat();
            self.written.push(ByteString::from(fact));
        }
    }
}
