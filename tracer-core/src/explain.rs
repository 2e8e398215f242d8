//! Explains why the actions of a build ran: compares the key of each with earlier keys of the same unit.
//!
//! The input is a build and the earlier keys; the output is plain data. Every executed action has one cause. Actions that ran only because
//! an import has a new content lead back to the packages whose own inputs changed: the roots. A cause is never guessed. If data is missing,
//! the cause is unresolved, with the missing data.

mod before;
mod diff;
mod graph;
mod input;
mod reason;
mod restore;
mod root;
mod test_cause;
mod test_file;
mod test_run;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::byte_string::ByteString;
use crate::golang::tool::split_variant;
use crate::golang::version::GoVersion;
use crate::history::BuildId;
use crate::model::{ActionKey, Build, Flag, KeyKind, Outcome};

pub use before::{
    CacheLocation, DoneBefore, EarlierRun, EarlierRuns, Place, PlaceSum, Present, RepeatedAction,
    Saved, cached_units, done_before,
};
pub use diff::Change;
pub use input::{Input, InputKind};
pub use reason::Reason;
pub use restore::{CacheEntryTimes, CacheRestore, CacheUse, Verdict};
pub use root::{Root, RootCause};

use diff::{Difference, Lines, difference, is_same};
use input::Inputs;

/// Largest number of earlier keys of a unit that a key is compared with: of the same directory, and of others.
pub const PAST_MAX: usize = 8;

/// The name of the package that `go` gives to files on the command line. It is a different package in each directory.
const FILES: &str = "command-line-arguments";

/// The subject of a key: kind, platform, and import path with the test variant. Keys of one unit can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(String);

impl Unit {
    pub fn of(build: &Build, key: &ActionKey) -> Self {
        Self::of_action(build, key.kind, &key.package)
    }

    /// The unit of an action of this package.
    pub fn of_action(build: &Build, kind: KeyKind, package: &ByteString) -> Self {
        let known = |it: &Option<String>| it.clone().unwrap_or_default();
        let (os, arch) = (known(&build.toolchain.goos), known(&build.toolchain.goarch));
        let kind = kind.name();
        let dir = build.dir.as_ref().filter(|_| *package == FILES);
        let dir = dir.map_or_else(String::new, |it| format!(" {it}"));
        Self(format!("{kind} {os}/{arch} {package}{dir}"))
    }

    /// From the history.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for units of this kind.
    pub fn is_of(&self, kind: KeyKind) -> bool {
        let rest = self.0.strip_prefix(kind.name());
        rest.is_some_and(|it| it.starts_with(' '))
    }

    /// A hash of it, which identifies it in a database.
    pub fn number(&self) -> i64 {
        let hash = Sha256::digest(self.0.as_bytes());
        let first = hash.first_chunk().copied().unwrap_or_default();
        i64::from_be_bytes(first)
    }
}

/// A key of an earlier build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastKey {
    pub build: BuildId,
    pub key: ActionKey,
    /// True if the action failed. Then the `go` command stored no result.
    pub has_failed: bool,
}

/// Earlier keys of units, latest first; of each at most [`PAST_MAX`] of the same directory, and as many of others.
pub type Past = BTreeMap<Unit, Vec<PastKey>>;

/// The cause of each executed action of a build, and the roots of all causes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// False if the build has no cache key at all. Then nothing is explained.
    pub has_keys: bool,
    /// Executed actions that build, link, vet or run a test, in order of start.
    pub actions: Vec<ExplainedAction>,
    /// The roots, dearest first.
    pub roots: Vec<Root>,
}

impl Explanation {
    /// Removes the actions of other packages, and the roots that lead to none of the rest.
    pub fn retain_package(&mut self, package: &str) {
        let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
        let all = std::mem::take(&mut self.actions);
        for (before, action) in (0u32..).zip(all) {
            if action.is_of(package) {
                let now = u32::try_from(self.actions.len()).unwrap_or(u32::MAX);
                numbers.insert(before, now);
                self.actions.push(action);
            }
        }
        let kept = |indices: &[u32]| -> Vec<u32> {
            indices
                .iter()
                .filter_map(|it| numbers.get(it).copied())
                .collect()
        };
        for root in &mut self.roots {
            root.actions = kept(&root.actions);
            root.behind = kept(&root.behind);
        }
        self.roots
            .retain(|it| !it.actions.is_empty() || !it.behind.is_empty());
    }
}

impl ExplainedAction {
    /// True if the action belongs to this package or to a test variant of it.
    pub fn is_of(&self, package: &str) -> bool {
        self.package == package || self.path() == package.as_bytes()
    }

    /// Import path without the test variant.
    fn path(&self) -> &[u8] {
        split_variant(self.package.as_bytes()).0
    }
}

/// An executed action and its cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedAction {
    /// Index into [`Build::actions`].
    pub action: u32,
    pub kind: KeyKind,
    pub package: ByteString,
    /// The action ID as Go prints it, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// CPU time of its tools, or of its test program and the processes under it.
    pub cpu_ns: u64,
    #[serde(flatten)]
    pub cause: Cause,
}

/// The reason why an action ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// The history has no earlier key of the unit.
    First,
    /// The flag `-a` was set.
    Forced,
    /// An earlier build had the same key, so the build cache of this build lacked the result. Go does not cache linked programs.
    SameInputs { than: BuildId, had_failed: bool },
    /// An earlier vet had the same inputs. The result was not in the build cache, or the package was named: before Go 1.26, Go uses cached
    /// results of imports only.
    VettedBefore { than: BuildId },
    /// Inputs of its own changed.
    Changed { than: BuildId, changes: Vec<Change> },
    /// Only results of other actions changed: the imports of these paths, or the program of a test.
    Imports { than: BuildId, imports: Vec<String> },
    /// Go neither uses nor stores a result of such a test run.
    NotCacheable {
        #[serde(flatten)]
        reason: NotCacheable,
    },
    /// An earlier run of the test stored no result.
    NotStored {
        than: BuildId,
        #[serde(flatten)]
        reason: NotStored,
    },
    /// An earlier run of the test had the same inputs and stored its result. Go found the list of inputs, but did not use the result: it
    /// had expired (`go clean -testcache`), or was deleted.
    Expired { than: BuildId },
    Unresolved {
        #[serde(flatten)]
        missing: Missing,
    },
}

/// The reason for which Go neither uses nor stores the result of a test run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "not_cacheable", rename_all = "snake_case")]
pub enum NotCacheable {
    /// `go test` without a package argument.
    LocalDirectory,
    /// This flag of `go test` or argument of the test.
    Argument { flag: String },
    /// `-exec`.
    Wrapper { command: String },
    /// The package is outside of a module, GOPATH and GOROOT.
    OutsideModule,
}

/// The reason for which a test run stored no result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "not_stored", rename_all = "snake_case")]
pub enum NotStored {
    /// It failed.
    Failed,
    NotCacheable {
        #[serde(flatten)]
        reason: NotCacheable,
    },
    /// A file that the test read was younger than two seconds.
    YoungFile,
    NotKnown,
}

/// The data that a cause would need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "missing", rename_all = "snake_case")]
pub enum Missing {
    /// The key was not recorded.
    Key,
    /// Lines of the key were lost.
    Lines,
    /// Lines of all earlier keys were lost.
    EarlierLines,
    /// Imports changed whose actions were not recorded.
    Imports { packages: Vec<String> },
    /// The earlier run of the test whose result Go found was not recorded.
    StoringRun,
    /// The keys differ only in parts that are not known. These lines were cut, or contain a removed value without a digest.
    Parts { lines: Vec<String> },
}

/// Explains the executed actions of a build.
pub fn explain(build: &Build, past: &Past) -> Explanation {
    if build.keys.is_empty() {
        return Explanation::default();
    }
    let keys: BTreeMap<u32, &ActionKey> = build.keys.iter().map(|it| (it.action, it)).collect();
    let cpu = cpu_of_actions(build);
    let executed = (0u32..).zip(&build.actions);
    let executed = executed.filter_map(|(index, action)| {
        let kind = KeyKind::of_executed(action)?;
        Some((index, kind, action.package.clone()?))
    });
    let actions: Vec<ExplainedAction> = executed
        .map(|(index, kind, package)| ExplainedAction {
            action: index,
            kind,
            id: keys.get(&index).and_then(|it| it.id.clone()),
            cpu_ns: cpu.get(&index).copied().unwrap_or(0),
            cause: match keys.get(&index) {
                Some(key) => cause(build, key, past.get(&Unit::of(build, key))),
                None => unresolved(Missing::Key),
            },
            package,
        })
        .collect();
    let roots = root::roots(&actions, &cached(build));
    Explanation {
        has_keys: true,
        actions,
        roots,
    }
}

/// The inputs in which two keys differ, as far as both are known.
pub fn changes(before: &ActionKey, after: &ActionKey) -> Vec<Change> {
    difference(&Inputs::of(before), &Inputs::of(after)).changes
}

/// The actions of which the `go` command took the result from the build cache.
fn cached(build: &Build) -> BTreeSet<(KeyKind, String)> {
    let actions = build.actions.iter();
    let cached = actions.filter(|it| it.outcome == Outcome::Cached);
    let units = cached.filter_map(|it| {
        let package = it.package.as_ref()?.to_str().into_owned();
        Some((KeyKind::of_mode(&it.mode)?, package))
    });
    units.collect()
}

/// CPU time of the actions. Actions without a key, such as those of cgo, count for the build of the same package.
pub(crate) fn cpu_of_actions(build: &Build) -> BTreeMap<u32, u64> {
    let builders: BTreeMap<&ByteString, u32> = (0u32..)
        .zip(&build.actions)
        .filter(|(_, it)| KeyKind::of_executed(it) == Some(KeyKind::Build))
        .filter_map(|(index, it)| Some((it.package.as_ref()?, index)))
        .collect();
    let mut cpu: BTreeMap<u32, u64> = BTreeMap::new();
    for (index, action) in (0u32..).zip(&build.actions) {
        let home = match KeyKind::of_executed(action) {
            Some(_) => Some(index),
            None => action
                .package
                .as_ref()
                .and_then(|it| builders.get(it).copied()),
        };
        let Some(home) = home else {
            continue;
        };
        let calls = action
            .calls
            .iter()
            .filter_map(|it| build.calls.get(*it as usize));
        let own = calls.map(|it| it.usage.user_ns.saturating_add(it.usage.system_ns));
        let sum = cpu.entry(home).or_default();
        *sum = own.fold(*sum, u64::saturating_add);
    }
    cpu
}

fn cause(build: &Build, key: &ActionKey, past: Option<&Vec<PastKey>>) -> Cause {
    if key.kind == KeyKind::Test {
        return test_cause::cause(key, past.map_or(&[], Vec::as_slice));
    }
    if build.command.flags.iter().any(is_force) {
        return Cause::Forced;
    }
    let Some(past) = past.filter(|it| !it.is_empty()) else {
        return Cause::First;
    };
    let past = past.iter();
    // A key with gaps still has the ID that the compiler or linker received. If any such build succeeded, the cache once had the result.
    let same = past.clone().filter(|it| is_same(&it.key, key));
    if let Some(same) = same.min_by_key(|it| it.has_failed) {
        if is_old_vet(key) && !same.has_failed {
            let than = same.build.clone();
            return Cause::VettedBefore { than };
        }
        return Cause::SameInputs {
            than: same.build.clone(),
            had_failed: same.has_failed,
        };
    }
    if key.has_gaps {
        return unresolved(Missing::Lines);
    }
    let lines = Lines::of(key);
    let whole = past.filter(|it| !it.key.has_gaps);
    // The nearest one; of equal ones the latest.
    let Some(nearest) = whole.min_by_key(|it| lines.distance(&it.key)) else {
        return unresolved(Missing::EarlierLines);
    };
    let found = difference(&Inputs::of(&nearest.key), &Inputs::of(key));
    of_difference(key, &nearest.build, found)
}

fn of_difference(key: &ActionKey, than: &BuildId, found: Difference) -> Cause {
    let Difference { changes, unknown } = found;
    let is_import = |it: &Change| it.input.kind.is_import();
    let (imports, own): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(is_import);
    let than = than.clone();
    if !own.is_empty() {
        return Cause::Changed { than, changes: own };
    }
    if imports.is_empty() {
        let lines = unknown.into_iter().collect();
        return unresolved(Missing::Parts { lines });
    }
    // The main package, and the package that `vet` examines, are those of the key.
    let package = key.package.to_str();
    let of_key = || match key.kind {
        KeyKind::Test => format!("{package}.test"),
        KeyKind::Build | KeyKind::Link | KeyKind::Vet => package.to_string(),
    };
    let imports = imports
        .into_iter()
        .map(|it| it.input.name.unwrap_or_else(of_key));
    let imports: BTreeSet<String> = imports.collect();
    Cause::Imports {
        than,
        imports: imports.into_iter().collect(),
    }
}

/// True for a vet of a release of Go that uses no cached result for named packages.
fn is_old_vet(key: &ActionKey) -> bool {
    let release = key.lines.first().map(ByteString::to_str);
    let release = release.and_then(|it| GoVersion::parse(&it));
    key.kind == KeyKind::Vet && release.is_some_and(|it| it < GoVersion::release(26))
}

fn unresolved(missing: Missing) -> Cause {
    Cause::Unresolved { missing }
}

/// The flag `-a`: build everything again.
fn is_force(flag: &Flag) -> bool {
    let is_off = flag
        .value
        .as_ref()
        .is_some_and(|it| *it == "false" || *it == "0");
    flag.name == "a" && !is_off
}
