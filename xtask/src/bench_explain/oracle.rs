//! The keys as the `go` command prints them, and the check of a cause against them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The executed actions of a build, by name: `build example.com/p`.
pub(super) struct Executed {
    keys: BTreeMap<String, Key>,
    /// The IDs of all keys of the build.
    ids: BTreeMap<String, String>,
}

/// A key as `go` printed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Key {
    lines: Vec<String>,
    /// The hash of the lines, in hexadecimal digits. Empty until it is printed.
    id: String,
}

/// The result of a check of one action.
pub(super) enum Verdict {
    Right,
    Unresolved,
    Wrong(String),
}

impl Executed {
    /// From the stderr of a build with `GODEBUG=gocachehash=1`, and from its action graph.
    pub(super) fn of(printed: &str, graph: &Path) -> Result<Self> {
        let mut open: BTreeMap<String, Key> = BTreeMap::new();
        let mut done: BTreeMap<String, Vec<Key>> = BTreeMap::new();
        for line in printed.lines() {
            let Some((name, rest)) = line.strip_prefix("HASH[").and_then(|it| it.split_once(']'))
            else {
                continue;
            };
            match rest.strip_prefix(": ") {
                None => drop(open.insert(name.to_owned(), Key::default())),
                Some(text) if text.starts_with('"') => {
                    let key = open.entry(name.to_owned()).or_default();
                    key.lines.push(text.to_owned());
                }
                Some(id) => {
                    let mut key = open.remove(name).unwrap_or_default();
                    id.clone_into(&mut key.id);
                    done.entry(name.to_owned()).or_default().push(key);
                }
            }
        }
        let text = std::fs::read_to_string(graph)
            .with_context(|| format!("cannot read {}", graph.display()))?;
        let graph: Vec<Value> =
            serde_json::from_str(&text).context("the action graph is not JSON")?;
        let mut keys = BTreeMap::new();
        for action in &graph {
            // Without a command, the action had nothing to run.
            if action.get("Cmd").is_none_or(Value::is_null) {
                continue;
            }
            let text = |name: &str| action.get(name).and_then(Value::as_str).unwrap_or_default();
            let name = format!("{} {}", text("Mode"), text("Package"));
            // A link has tentative keys before its own.
            if let Some(key) = done.get(&name).and_then(|it| it.last()) {
                keys.insert(name, key.clone());
            }
        }
        let last = |(name, keys): (String, Vec<Key>)| Some((name, keys.last()?.id.clone()));
        Ok(Self {
            keys,
            ids: done.into_iter().filter_map(last).collect(),
        })
    }

    /// The ID of a key, by which the cache finds the entry.
    pub(super) fn cache_id(&self, name: &str) -> Option<&str> {
        self.ids.get(name).map(String::as_str)
    }

    /// Compares the explained actions with the executed ones. `past` are the earlier builds, by ID.
    pub(super) fn check(
        &self,
        explained: &[Value],
        past: &BTreeMap<String, Self>,
    ) -> Vec<(String, Verdict)> {
        let mut missing: BTreeSet<&String> = self.keys.keys().collect();
        let mut verdicts = Vec::new();
        for action in explained {
            let name = format!("{} {}", text(action, "kind"), text(action, "package"));
            let Some(key) = self.keys.get(&name) else {
                let why = format!("go did not execute it: {action}");
                verdicts.push((name, Verdict::Wrong(why)));
                continue;
            };
            missing.remove(&name);
            let verdict = check(key, &name, action, past);
            verdicts.push((name, verdict));
        }
        let unexplained = missing.into_iter();
        let why = || Verdict::Wrong("it was executed and is not explained".to_owned());
        verdicts.extend(unexplained.map(|it| (it.clone(), why())));
        verdicts
    }
}

fn check(key: &Key, name: &str, action: &Value, past: &BTreeMap<String, Executed>) -> Verdict {
    let earlier: BTreeMap<&String, &Key> = past
        .iter()
        .filter_map(|(id, build)| Some((id, build.keys.get(name)?)))
        .collect();
    let is_same = earlier.values().any(|it| it.id == key.id);
    let than = earlier.get(&text(action, "than").to_owned());
    let difference = than.map(|it| Difference::between(it, key, text(action, "package")));
    let wrong =
        |why: &str| Verdict::Wrong(format!("{why}: {action}; in Go's keys: {difference:?}"));
    match (text(action, "cause"), &difference) {
        ("unresolved", _) => Verdict::Unresolved,
        ("first", _) if earlier.is_empty() => Verdict::Right,
        ("first", _) => wrong("there is an earlier key"),
        ("same_inputs", _) if than.is_some_and(|it| it.id == key.id) => Verdict::Right,
        ("same_inputs", _) => wrong("the earlier key is another"),
        _ if is_same => wrong("an earlier key is the same"),
        ("changed", Some(it)) => match it.check_own(action) {
            Ok(()) => Verdict::Right,
            Err(why) => wrong(&why),
        },
        ("imports", Some(it)) => {
            let named = action.get("imports").and_then(Value::as_array);
            let named: BTreeSet<&str> = named
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let right: BTreeSet<&str> = it.imports.iter().map(String::as_str).collect();
            if it.own.is_empty() && named == right {
                Verdict::Right
            } else {
                wrong("other inputs changed")
            }
        }
        _ => wrong("the cause does not fit"),
    }
}

/// The lines in which two keys differ.
#[derive(Debug, Default)]
struct Difference {
    /// Paths of the imports.
    imports: BTreeSet<String>,
    /// Other lines, of both keys.
    own: BTreeSet<String>,
}

impl Difference {
    /// `package` is that of both keys.
    fn between(before: &Key, after: &Key, package: &str) -> Self {
        let lines = |key: &Key| key.lines.iter().cloned().collect::<BTreeSet<String>>();
        let mut found = Self::default();
        for line in lines(before).symmetric_difference(&lines(after)) {
            match import(line, package) {
                Some(path) => found.imports.insert(path.to_owned()),
                None => found.own.insert(line.clone()),
            };
        }
        found
    }

    /// Each changed file is named, and each named one changed. Other inputs have no line of their own, so a line must contain the value.
    fn check_own(&self, action: &Value) -> Result<(), String> {
        if self.own.is_empty() {
            return Err("no own input changed".to_owned());
        }
        let changes = action.get("changes").and_then(Value::as_array);
        let changes: Vec<&Value> = changes.into_iter().flatten().collect();
        let files = changes.iter().filter(|it| text(it, "kind") == "file");
        let files: BTreeSet<&str> = files.map(|it| text(it, "name")).collect();
        let in_lines = self.own.iter().filter_map(|it| file(it));
        if files != in_lines.collect() {
            return Err("other files changed".to_owned());
        }
        for change in &changes {
            for part in ["name", "before", "after"] {
                let value = text(change, part).trim_matches(['[', ']', ' ', '"']);
                let is_there = self.own.iter().any(|it| it.contains(value));
                if part != "name" && !is_there {
                    return Err(format!("no line with {part} {value}"));
                }
            }
        }
        let has_others = self.own.iter().any(|it| file(it).is_none());
        if has_others && changes.len() == files.len() {
            return Err("a changed line is not named".to_owned());
        }
        Ok(())
    }
}

/// The path in `import p HASH` and `packagefile p=HASH`. The line `packagemain HASH` is about the package main, and `import "p"` no import.
fn import<'a>(line: &'a str, package: &'a str) -> Option<&'a str> {
    let line = line.trim_start_matches('"').trim_end_matches("\\n\"");
    if line.starts_with("packagemain ") {
        return Some(package);
    }
    if let Some(rest) = line.strip_prefix("packagefile ") {
        return Some(rest.rsplit_once('=')?.0);
    }
    let rest = line.strip_prefix("import ")?;
    (!rest.starts_with('\\'))
        .then(|| rest.rsplit_once(' '))?
        .map(|(path, _)| path)
}

/// The name in `file a.go HASH`.
fn file(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("\"file ")?;
    Some(rest.rsplit_once(' ')?.0)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
