//! The roots of all causes: actions with inputs of their own that changed, grouped by what changed. The actions above a root ran because
//! of it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::KeyKind;

use super::graph::Graph;
use super::input::input;
use super::{Cause, Change, ExplainedAction, Input, InputKind, Missing, NotCacheable, NotStored};

/// A cause that explains itself, and the actions that ran because of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Root {
    #[serde(flatten)]
    pub cause: RootCause,
    /// The actions with this cause: indices into the explained actions. Empty if the cause is a package that this build did not build.
    pub actions: Vec<u32>,
    /// The actions that ran because an import of theirs leads back to this root. An action may lead back to several roots.
    pub behind: Vec<u32>,
    /// CPU time of all these actions.
    pub cpu_ns: u64,
}

/// The cause of a root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "root", rename_all = "snake_case")]
pub enum RootCause {
    /// The history has no earlier key.
    First,
    /// The flag `-a` was set.
    Forced,
    /// Built before with the same inputs, but not in the build cache.
    SameInputs,
    /// Linked before with the same inputs. Go does not cache linked programs.
    SameLink,
    /// Vetted before with the same inputs. The result was not in the build cache, or the package was named: before Go 1.26, Go uses cached
    /// results of imports only.
    VettedBefore,
    /// Built before with the same inputs, without success.
    FailedBefore,
    /// These inputs changed. With a package, they are inputs of that package alone.
    Changed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        package: Option<String>,
        changes: Vec<Change>,
    },
    /// Go neither uses nor stores results of such test runs.
    NotCacheable {
        #[serde(flatten)]
        reason: NotCacheable,
    },
    /// An earlier run of the test stored no result.
    NotStored {
        #[serde(flatten)]
        reason: NotStored,
    },
    /// An earlier run of the test had the same inputs, and its result had expired or was deleted.
    Expired,
    /// The packages have a new content, but this build did not build them: they came from the build cache.
    Elsewhere { packages: Vec<String> },
    /// Actions that need each other, or whose cause is not known.
    Unresolved {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<Missing>,
    },
}

impl RootCause {
    /// The package whose own inputs changed, if they are those of one package.
    pub fn package(&self) -> Option<&str> {
        self.changed()?.0.as_deref()
    }

    /// The inputs that changed.
    pub fn changes(&self) -> &[Change] {
        self.changed().map_or(&[], |(_, changes)| changes)
    }

    fn changed(&self) -> Option<(&Option<String>, &[Change])> {
        match self {
            Self::Changed { package, changes } => Some((package, changes)),
            Self::First
            | Self::Forced
            | Self::SameInputs
            | Self::SameLink
            | Self::FailedBefore
            | Self::VettedBefore
            | Self::NotCacheable { .. }
            | Self::NotStored { .. }
            | Self::Expired
            | Self::Elsewhere { .. }
            | Self::Unresolved { .. } => None,
        }
    }

    /// A copy of bounded size, to be stored: of many changes or packages, the first; of long values, the beginning.
    #[must_use]
    pub fn bounded(&self) -> Self {
        const ITEMS: usize = 8;
        const VALUE: usize = 200;
        let short = |text: &String| text.chars().take(VALUE).collect::<String>();
        match self {
            Self::Changed { package, changes } => {
                let changes = changes.iter().take(ITEMS).map(|it| Change {
                    input: Input {
                        kind: it.input.kind,
                        name: it.input.name.as_ref().map(short),
                    },
                    before: it.before.as_ref().map(short),
                    after: it.after.as_ref().map(short),
                });
                Self::Changed {
                    package: package.as_ref().map(short),
                    changes: changes.collect(),
                }
            }
            Self::Elsewhere { packages } => Self::Elsewhere {
                packages: packages.iter().take(ITEMS).map(short).collect(),
            },
            Self::Unresolved { .. } => Self::Unresolved { missing: None },
            Self::First
            | Self::Forced
            | Self::SameInputs
            | Self::SameLink
            | Self::FailedBefore
            | Self::VettedBefore
            | Self::NotCacheable { .. }
            | Self::NotStored { .. }
            | Self::Expired => self.clone(),
        }
    }
}

/// The roots of these actions, dearest first. The work grows with the number of imports, times the number of roots.
pub(super) fn roots(
    actions: &[ExplainedAction],
    cached: &BTreeSet<(KeyKind, String)>,
) -> Vec<Root> {
    let graph = Graph::of(actions, cached);
    let mut groups: BTreeMap<RootCause, Vec<u32>> = BTreeMap::new();
    for (index, action) in (0u32..).zip(actions) {
        if graph.needed.contains(&index) {
            continue;
        }
        if let Some(cause) = root_cause(action) {
            groups.entry(cause).or_default().push(index);
        }
    }
    let groups = groups.into_iter().map(|(cause, own)| {
        let only = own
            .first()
            .filter(|_| own.len() == 1 && cause == new_times());
        let only = only.and_then(|it| actions.get(*it as usize));
        match only.map(|it| (it, &it.cause)) {
            Some((action, Cause::Changed { changes, .. })) => (changed(action, changes), own),
            _ => (cause, own),
        }
    });
    let mut is_reached = vec![false; actions.len()];
    let mut roots: Vec<Root> = Vec::new();
    // Packages that changed for the same actions are one root.
    let mut elsewhere: BTreeMap<(bool, &[u32]), Vec<String>> = BTreeMap::new();
    for ((is_cached, package), above) in &graph.elsewhere {
        let packages = elsewhere.entry((*is_cached, above)).or_default();
        packages.push((*package).to_owned());
    }
    let elsewhere = elsewhere.into_iter().map(|((is_cached, above), packages)| {
        let cause = if is_cached {
            RootCause::Elsewhere { packages }
        } else {
            let missing = Some(Missing::Imports { packages });
            RootCause::Unresolved { missing }
        };
        (cause, Vec::new(), above.to_vec())
    });
    let own = groups.map(|(cause, own)| {
        let above = own
            .iter()
            .flat_map(|it| graph.above(*it))
            .copied()
            .collect();
        (cause, own, above)
    });
    for (cause, own, above) in own.chain(elsewhere) {
        let behind = graph.reach(&own, above);
        for index in own.iter().chain(&behind) {
            mark(&mut is_reached, *index);
        }
        roots.push(root(cause, own, behind, actions));
    }
    let n = u32::try_from(actions.len()).unwrap_or(u32::MAX);
    let left: Vec<u32> = (0..n)
        .filter(|it| is_reached.get(*it as usize) == Some(&false))
        .collect();
    if !left.is_empty() {
        let cause = RootCause::Unresolved { missing: None };
        roots.push(root(cause, left, Vec::new(), actions));
    }
    roots.sort_by(|a, b| b.cpu_ns.cmp(&a.cpu_ns).then_with(|| a.cause.cmp(&b.cause)));
    roots
}

fn mark(is_reached: &mut [bool], index: u32) {
    if let Some(it) = is_reached.get_mut(index as usize) {
        *it = true;
    }
}

fn root(cause: RootCause, own: Vec<u32>, behind: Vec<u32>, actions: &[ExplainedAction]) -> Root {
    let all = own.iter().chain(&behind);
    let cpu = all
        .filter_map(|it| actions.get(*it as usize))
        .map(|it| it.cpu_ns);
    Root {
        cpu_ns: cpu.fold(0, u64::saturating_add),
        cause,
        actions: own,
        behind,
    }
}

/// The group of an action that is a root; `None` if it ran because of its imports.
fn root_cause(action: &ExplainedAction) -> Option<RootCause> {
    Some(match &action.cause {
        Cause::First => RootCause::First,
        Cause::Forced => RootCause::Forced,
        Cause::SameInputs {
            had_failed: true, ..
        } => RootCause::FailedBefore,
        Cause::SameInputs { .. } if action.kind == KeyKind::Link => RootCause::SameLink,
        Cause::SameInputs { .. } => RootCause::SameInputs,
        Cause::Changed { changes, .. } if are_times(changes) => new_times(),
        Cause::Changed { changes, .. } => changed(action, changes),
        Cause::Imports { .. } => return None,
        Cause::VettedBefore { .. } => RootCause::VettedBefore,
        Cause::NotCacheable { reason } => RootCause::NotCacheable {
            reason: reason.clone(),
        },
        Cause::NotStored { reason, .. } => RootCause::NotStored {
            reason: reason.clone(),
        },
        Cause::Expired { .. } => RootCause::Expired,
        Cause::Unresolved { missing } => RootCause::Unresolved {
            missing: Some(missing.clone()),
        },
    })
}

/// True if only modification times of files changed.
fn are_times(changes: &[Change]) -> bool {
    changes
        .iter()
        .all(|it| it.input.kind == InputKind::TestFileTime)
}

/// The root of test runs for which only modification times of files changed, of any package: a new checkout changes all times.
fn new_times() -> RootCause {
    RootCause::Changed {
        package: None,
        changes: vec![Change {
            input: input(InputKind::TestFileTime, ""),
            before: None,
            after: None,
        }],
    }
}

/// The root of an action whose own inputs changed. An input that changed for all packages at once is the cause for each of them. Other
/// changes often follow from it: without `-trimpath`, the directory of the package is an input.
fn changed(action: &ExplainedAction, changes: &[Change]) -> RootCause {
    let of_kind = |kind: InputKind| changes.iter().find(|it| it.input.kind == kind);
    let leading = [
        InputKind::Release,
        InputKind::Platform,
        InputKind::Trimpath,
        InputKind::Module,
    ];
    if let Some(leading) = leading.into_iter().find_map(of_kind) {
        return RootCause::Changed {
            package: None,
            changes: vec![comparable(leading)],
        };
    }
    if let [moved] = changes
        && let Some(moved) = moved_tree(moved)
    {
        return RootCause::Changed {
            package: None,
            changes: vec![moved],
        };
    }
    let scopes: BTreeSet<Scope> = changes.iter().map(|it| scope(it.input.kind)).collect();
    // The build information of a program repeats flags that are inputs of their own.
    let is_repeated =
        |it: &&Change| scopes.contains(&Scope::Shared) && scope(it.input.kind) == Scope::Program;
    RootCause::Changed {
        package: scopes
            .contains(&Scope::Package)
            .then(|| String::from_utf8_lossy(action.path()).into_owned()),
        changes: changes
            .iter()
            .filter(|it| !is_repeated(it))
            .map(comparable)
            .collect(),
    }
}

/// A change of the directory alone, without the common end of both paths: all packages of a tree that moved have the same one.
fn moved_tree(change: &Change) -> Option<Change> {
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    if change.input.kind != InputKind::Directory {
        return None;
    }
    let parts = |path: &str| path.split('/').rev().map(str::len).collect::<Vec<_>>();
    let of_both = before.rsplit('/').zip(after.rsplit('/'));
    let n_common = of_both.take_while(|(one, other)| one == other).count();
    let without_end = |path: &String| {
        // Each part has a slash before it.
        let end: usize = parts(path).iter().take(n_common).map(|it| it + 1).sum();
        let head = path
            .get(..path.len().saturating_sub(end))
            .unwrap_or_default();
        if head.is_empty() {
            "/".to_owned()
        } else {
            head.to_owned()
        }
    };
    Some(Change {
        input: change.input.clone(),
        before: Some(without_end(before)),
        after: Some(without_end(after)),
    })
}

/// The actions that an input belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Those of one package.
    Package,
    /// Those of one program.
    Program,
    /// Many: a flag, a tool.
    Shared,
}

fn scope(kind: InputKind) -> Scope {
    match kind {
        InputKind::File
        | InputKind::Directory
        | InputKind::Profile
        | InputKind::Other
        | InputKind::TestFile
        | InputKind::TestFileSize
        | InputKind::TestFileMode
        | InputKind::TestFileTime
        | InputKind::TestFileError => Scope::Package,
        InputKind::BuildInfo => Scope::Program,
        InputKind::Release
        | InputKind::Compiler
        | InputKind::CompilerFlags
        | InputKind::Assembler
        | InputKind::AssemblerFlags
        | InputKind::Linker
        | InputKind::LinkerFlags
        | InputKind::LinkVariable
        | InputKind::Cgo
        | InputKind::CFlags
        | InputKind::CCompiler
        | InputKind::Vet
        | InputKind::VetFlags
        | InputKind::Platform
        | InputKind::ArchitectureLevel
        | InputKind::Experiment
        | InputKind::BuildMode
        | InputKind::Trimpath
        | InputKind::Coverage
        | InputKind::Fuzzing
        | InputKind::Godebug
        | InputKind::Language
        | InputKind::Module
        | InputKind::Goroot
        | InputKind::Variable
        | InputKind::Import
        | InputKind::MainPackage
        | InputKind::TestProgram
        | InputKind::TestFlag
        | InputKind::TestVariable
        | InputKind::TestTimeZone => Scope::Shared,
    }
}

/// A change without the values that may differ between actions with the same cause.
fn comparable(change: &Change) -> Change {
    let without_value = |it: &Option<String>| it.as_ref().map(|_| String::new());
    if change.input.kind != InputKind::LinkVariable {
        return change.clone();
    }
    // The build information of the program contains the same flag in other quotes.
    Change {
        input: change.input.clone(),
        before: without_value(&change.before),
        after: without_value(&change.after),
    }
}
