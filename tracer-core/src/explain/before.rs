//! Work that had been done before: executed actions whose inputs an earlier action had, with success.
//!
//! Equal action IDs mean that `go` would have taken the earlier result, if it had been in the build cache.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::diff::{Change, Difference, difference};
use super::input::Inputs;
use super::{Cause, ExplainedAction, Explanation, InputKind, Past, Unit, is_force};
use crate::golang::version::GoVersion;
use crate::history::{BuildId, StoredKey};
use crate::model::{Build, KeyKind, Outcome};

/// The place where the work had been done, in relation to the action.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The same GOCACHE, by its path, container and machine.
    SameCache,
    /// The same machine, but another GOCACHE or container.
    SameMachine,
    /// Another machine.
    Fleet,
    /// The machine of one of the two is not known.
    Unknown,
    /// The earlier action had not ended when this one started.
    Concurrent,
    /// `-a` was set.
    Forced,
    /// The inputs differ only in directories. With `-trimpath` they would be the same.
    PathOnly,
    /// A link. Go stores no linked program, but for `go run` and `go tool`.
    Link,
}

impl Place {
    pub const ALL: [Self; 8] = [
        Self::SameCache,
        Self::SameMachine,
        Self::Fleet,
        Self::Unknown,
        Self::Concurrent,
        Self::Forced,
        Self::PathOnly,
        Self::Link,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::SameCache => "same_cache",
            Self::SameMachine => "same_machine",
            Self::Fleet => "fleet",
            Self::Unknown => "unknown",
            Self::Concurrent => "concurrent",
            Self::Forced => "forced",
            Self::PathOnly => "path_only",
            Self::Link => "link",
        }
    }

    /// The place of a run with this cache and end, for an action with another cache and this start.
    pub fn of_run(
        (earlier, ended_ns): (&CacheLocation, i64),
        (present, started_ns): (&CacheLocation, Option<i64>),
    ) -> Self {
        if started_ns.is_some_and(|it| ended_ns > it) {
            Self::Concurrent
        } else {
            earlier.seen_from(present)
        }
    }
}

/// A build cache, as far as a build shows it. Two containers may have different directories at one path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheLocation {
    pub host: Option<String>,
    pub container: Option<String>,
    /// GOCACHE.
    pub path: Option<String>,
}

impl CacheLocation {
    /// The place of work with this cache, for a build with the other one.
    fn seen_from(&self, other: &Self) -> Place {
        if self.host.is_none() || other.host.is_none() {
            Place::Unknown
        } else if self.host != other.host {
            Place::Fleet
        } else if self.path.is_some() && self == other {
            Place::SameCache
        } else {
            Place::SameMachine
        }
    }
}

/// An earlier run of an action, with the same inputs and with success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierRun {
    pub build: BuildId,
    pub cache: CacheLocation,
    /// End of the action in nanoseconds since 1970.
    pub ended_ns: i64,
}

/// Earlier runs by unit and action ID, latest first. Only the nearest one counts.
pub type EarlierRuns = BTreeMap<(Unit, String), Vec<EarlierRun>>;

/// The repeated work of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoneBefore {
    /// CPU time of all executed actions whose action ID is known.
    pub known_cpu_ns: u64,
    /// CPU time of the actions that had been done before, without links.
    pub cpu_ns: u64,
    /// The actions that had been done before.
    pub actions: Vec<RepeatedAction>,
}

/// An executed action that had been done before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepeatedAction {
    /// Index into [`Build::actions`].
    pub action: u32,
    pub place: Place,
    /// The build that had done it.
    pub by: BuildId,
    pub cpu_ns: u64,
}

/// A sum of repeated actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlaceSum {
    pub place: Place,
    pub n: u64,
    pub cpu_ns: u64,
    /// The build that had done most of it.
    pub by: BuildId,
}

impl DoneBefore {
    /// Removes the actions that are not explained. The sums stay those of the build.
    pub fn retain(&mut self, explanation: &Explanation) {
        let explained = explanation.actions.iter();
        let explained: BTreeSet<u32> = explained.map(|it| it.action).collect();
        self.actions.retain(|it| explained.contains(&it.action));
    }

    /// The sums by place, dearest first.
    pub fn sums(&self) -> Vec<PlaceSum> {
        let mut by_place: BTreeMap<Place, (u64, u64, BTreeMap<&BuildId, u64>)> = BTreeMap::new();
        for action in &self.actions {
            let (n, cpu, builds) = by_place.entry(action.place).or_default();
            *n += 1;
            *cpu = cpu.saturating_add(action.cpu_ns);
            let of_build = builds.entry(&action.by).or_default();
            *of_build = of_build.saturating_add(action.cpu_ns);
        }
        let sums = by_place
            .into_iter()
            .filter_map(|(place, (n, cpu_ns, builds))| {
                let (by, _) = builds.into_iter().max_by_key(|(_, cpu)| *cpu)?;
                let by = by.clone();
                Some(PlaceSum {
                    place,
                    n,
                    cpu_ns,
                    by,
                })
            });
        let mut sums: Vec<PlaceSum> = sums.collect();
        sums.sort_by_key(|it| (std::cmp::Reverse(it.cpu_ns), it.place));
        sums
    }
}

/// CPU time that the build cache saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// Actions that build or vet a package or run a test, whose result came from the build cache.
    pub n_cached: u64,
    /// Those of them that an earlier build of the history executed.
    pub n_known: u64,
    /// CPU time of these when they were last executed.
    pub cpu_ns: u64,
    /// The build that executed most of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<BuildId>,
}

impl Saved {
    /// From the units of the cached actions, and the last successful run of each unit: its build and CPU time.
    pub fn of(cached: &BTreeSet<Unit>, runs: &BTreeMap<Unit, (BuildId, u64)>) -> Self {
        let known = cached.iter().filter_map(|it| runs.get(it));
        let mut builds: BTreeMap<&BuildId, u64> = BTreeMap::new();
        let (mut n_known, mut sum) = (0, 0u64);
        for (build, cpu_ns) in known {
            n_known += 1;
            sum = sum.saturating_add(*cpu_ns);
            let of_build = builds.entry(build).or_default();
            *of_build = of_build.saturating_add(*cpu_ns);
        }
        let by = builds.into_iter().max_by_key(|(_, cpu_ns)| *cpu_ns);
        Self {
            n_cached: u64::try_from(cached.len()).unwrap_or(u64::MAX),
            n_known,
            cpu_ns: sum,
            by: by.map(|(build, _)| build.clone()),
        }
    }
}

/// The units of the actions whose result came from the build cache. Go stores no links there.
pub fn cached_units(build: &Build) -> BTreeSet<Unit> {
    let cached = build.actions.iter();
    let cached = cached.filter(|it| it.outcome == Outcome::Cached);
    let units = cached.filter_map(|it| {
        let kind = KeyKind::of_mode(&it.mode).filter(|it| *it != KeyKind::Link)?;
        Some(Unit::of_action(build, kind, it.package.as_ref()?))
    });
    units.collect()
}

/// The build whose actions are compared.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    pub build: &'a Build,
    pub keys: &'a [StoredKey],
    pub cache: &'a CacheLocation,
}

/// The executed actions of a build that had been done before. `explanation` and `past` are those of the build.
pub fn done_before(
    present: Present<'_>,
    runs: &EarlierRuns,
    explanation: &Explanation,
    past: &Past,
) -> DoneBefore {
    let Present { build, keys, cache } = present;
    let is_forced = build.command.flags.iter().any(is_force);
    let twins = path_twins(keys, explanation, past);
    let mut done = DoneBefore::default();
    for stored in keys {
        let key = &stored.key;
        let Some(id) = &key.id else {
            continue;
        };
        done.known_cpu_ns = done.known_cpu_ns.saturating_add(stored.times.cpu_ns);
        let of_id = runs.get(&(stored.unit.clone(), id.clone()));
        let found = of_id.and_then(|it| nearest(it, cache, stored.times.started_ns));
        let (place, by) = match (found, twins.get(&key.action).copied()) {
            (Some((_, by)), _) if key.kind == KeyKind::Link && !stores_links(build) => {
                (Place::Link, by)
            }
            (Some((_, by)), _) if is_forced => (Place::Forced, by),
            (Some((place, by)), _) => (place, by),
            (None, Some(by)) => (Place::PathOnly, by),
            (None, None) => continue,
        };
        if place != Place::Link {
            done.cpu_ns = done.cpu_ns.saturating_add(stored.times.cpu_ns);
        }
        done.actions.push(RepeatedAction {
            action: key.action,
            place,
            by: by.clone(),
            cpu_ns: stored.times.cpu_ns,
        });
    }
    done
}

/// The nearest earlier run. A run that had ended comes before one that had not; one in the same cache before one on the same machine.
fn nearest<'a>(
    runs: &'a [EarlierRun],
    cache: &CacheLocation,
    started_ns: Option<i64>,
) -> Option<(Place, &'a BuildId)> {
    let places = runs.iter().map(|run| {
        let place = Place::of_run((&run.cache, run.ended_ns), (cache, started_ns));
        (place, &run.build)
    });
    // Of equal ones the first, which is the latest.
    places.min_by_key(|(place, _)| *place)
}

/// True if the command stores its linked programs in the build cache. Go does so since 1.24.
fn stores_links(build: &Build) -> bool {
    let is_run = matches!(build.command.name.as_str(), "run" | "tool");
    let version = build.toolchain.version.as_deref();
    let version = version.and_then(GoVersion::parse);
    is_run && version.is_some_and(|it| it >= GoVersion::release(24))
}

/// The actions that differ from an earlier one in directories alone, with the build of that one. Their imports may differ too, if those
/// differ from the imports of the same build in directories alone.
fn path_twins<'a>(
    keys: &[StoredKey],
    explanation: &'a Explanation,
    past: &Past,
) -> BTreeMap<u32, &'a BuildId> {
    let by_action: BTreeMap<u32, &StoredKey> = keys.iter().map(|it| (it.key.action, it)).collect();
    // The candidates by package, with the imports that must be candidates too.
    let mut twins: BTreeMap<String, Twin<'a>> = BTreeMap::new();
    for action in &explanation.actions {
        let stored = by_action.get(&action.action);
        if let Some(twin) = stored.and_then(|it| twin(action, it, past)) {
            twins.insert(action.package.to_str().into_owned(), twin);
        }
    }
    let mut above: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    let mut failed: Vec<&String> = Vec::new();
    for (package, twin) in &twins {
        for import in &twin.imports {
            above.entry(import).or_default().push(package);
        }
        let is_twin = |import: &String| twins.get(import).is_some_and(|it| it.than == twin.than);
        if !twin.imports.iter().all(is_twin) {
            failed.push(package);
        }
    }
    let mut out: BTreeSet<&String> = BTreeSet::new();
    while let Some(package) = failed.pop() {
        if out.insert(package) {
            failed.extend(above.get(package).into_iter().flatten());
        }
    }
    let kept = twins.iter().filter(|(package, _)| !out.contains(package));
    kept.map(|(_, it)| (it.action, it.than)).collect()
}

/// An action that may differ from an earlier one in directories alone.
struct Twin<'a> {
    action: u32,
    /// The build of the earlier one.
    than: &'a BuildId,
    /// The imports that differ.
    imports: BTreeSet<String>,
}

/// An action whose inputs are those of an earlier one, but for directories and imports.
fn twin<'a>(action: &'a ExplainedAction, stored: &StoredKey, past: &Past) -> Option<Twin<'a>> {
    if action.kind != KeyKind::Build || stored.key.has_gaps {
        return None;
    }
    let than = match &action.cause {
        Cause::Changed { than, .. } | Cause::Imports { than, .. } => than,
        Cause::First
        | Cause::Forced
        | Cause::SameInputs { .. }
        | Cause::VettedBefore { .. }
        | Cause::NotCacheable { .. }
        | Cause::NotStored { .. }
        | Cause::Expired { .. }
        | Cause::Unresolved { .. } => return None,
    };
    let mut earlier = past.get(&stored.unit)?.iter();
    let earlier = earlier.find(|it| it.build == *than)?;
    if earlier.has_failed || earlier.key.has_gaps {
        return None;
    }
    let Difference { changes, unknown } =
        difference(&Inputs::of(&earlier.key), &Inputs::of(&stored.key));
    let is_free = |it: &Change| it.input.kind == InputKind::Directory || it.input.kind.is_import();
    if !unknown.is_empty() || !changes.iter().all(is_free) {
        return None;
    }
    let imports = changes.into_iter().filter(|it| it.input.kind.is_import());
    Some(Twin {
        action: action.action,
        than,
        imports: imports.filter_map(|it| it.input.name).collect(),
    })
}

#[cfg(test)]
mod tests;
