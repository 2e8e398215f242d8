//! Explains a build from the history: when it is stored, for its rows, and when it is shown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tracer_core::explain::{
    CacheLocation, DoneBefore, EarlierRun, EarlierRuns, Explanation, Past, Place, Present, Reason,
    Saved, Unit, cached_units, done_before, explain,
};
use tracer_core::history::{BuildId, Entry, Kept, StoredKey};
use tracer_core::model::{Build, Trace};
use tracer_core::price::{self, EarlierCpu};

use super::error::Cause;
use super::keys::{self, UNITS};
use super::value::{self, Query, RowValues, Value};

/// Position of a build that is not stored yet.
pub(super) const NEXT: i64 = i64::MAX;

/// The causes of a build's actions, and the work that it repeated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explained {
    pub explanation: Explanation,
    pub done_before: DoneBefore,
    /// Only of a stored build.
    pub saved: Saved,
    /// Only of a stored build: the earlier CPU time of packages that came from the build cache.
    pub earlier_cpu: EarlierCpu,
}

/// The causes of one build as sums of CPU time in nanoseconds, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CauseSums {
    pub(crate) project: Option<String>,
    /// Start of the build, in nanoseconds since 1970.
    pub(crate) started_ns: i64,
    pub(crate) by_reason: BTreeMap<Reason, u64>,
    pub(crate) by_place: BTreeMap<Place, u64>,
}

impl CauseSums {
    pub(super) fn of(entry: &Entry, explained: &Explained) -> Self {
        let mut sums = Self {
            project: entry.project.clone(),
            started_ns: entry.started_ns,
            ..Self::default()
        };
        let actions = &explained.explanation.actions;
        for (action, reason) in actions.iter().zip(explained.explanation.reasons()) {
            add(sums.by_reason.entry(reason).or_default(), action.cpu_ns);
        }
        for action in &explained.done_before.actions {
            add(
                sums.by_place.entry(action.place).or_default(),
                action.cpu_ns,
            );
        }
        sums
    }
}

fn add(sum: &mut u64, cpu_ns: u64) {
    *sum = sum.saturating_add(cpu_ns);
}

impl Explained {
    /// The reason of each executed action, by its index in the build.
    pub(super) fn reasons(&self) -> BTreeMap<u32, Reason> {
        let actions = self.explanation.actions.iter().map(|it| it.action);
        actions.zip(self.explanation.reasons()).collect()
    }
}

/// Explains a build that is about to be stored.
pub(super) fn explain_kept(rows: &dyn Query, kept: &Kept) -> Result<Explained, Cause> {
    let Some(build) = kept.trace.builds.first().filter(|_| !kept.keys.is_empty()) else {
        return Ok(Explained::default());
    };
    let past = keys::past(rows, &kept.entry, NEXT, &kept.keys)?;
    explained(rows, &kept.entry, build, &kept.keys, (NEXT, past))
}

/// Explains a stored build.
pub(super) fn explain_stored(
    rows: &dyn Query,
    entry: &Entry,
    trace: &Trace,
) -> Result<Explained, Cause> {
    let Some(build) = trace.builds.first() else {
        return Ok(Explained::default());
    };
    let own = keys::own(rows, entry)?;
    let position = own.as_ref().map_or(NEXT, |(position, _)| *position);
    let (saved, earlier_cpu) = unless_old(saved(rows, entry, build, position))?;
    let Some((position, mut own)) = own else {
        return Ok(Explained {
            saved,
            earlier_cpu,
            ..Explained::default()
        });
    };
    StoredKey::add_times(&mut own, trace, build);
    let past = keys::past(rows, entry, position, &own)?;
    let explained = explained(rows, entry, build, &own, (position, past))?;
    Ok(Explained {
        saved,
        earlier_cpu,
        ..explained
    })
}

/// The default if an earlier gotrace wrote the history.
fn unless_old<T: Default>(read: Result<T, Cause>) -> Result<T, Cause> {
    match read {
        Err(Cause::Sqlite(error)) if error.to_string().contains("no such column") => {
            Ok(T::default())
        }
        Err(Cause::Sqlite(error)) if error.to_string().contains("no such table") => {
            Ok(T::default())
        }
        read => read,
    }
}

/// CPU time that the build cache saved: that of the cached actions when they were last executed. A build that executed nothing has no
/// position, so those builds count that started earlier.
fn saved(
    rows: &dyn Query,
    entry: &Entry,
    build: &Build,
    position: i64,
) -> Result<(Saved, EarlierCpu), Cause> {
    let cached = cached_units(build);
    let units: BTreeMap<i64, &Unit> = cached.iter().map(|it| (it.number(), it)).collect();
    let numbers: Vec<i64> = units.keys().copied().collect();
    let mut runs: BTreeMap<Unit, (BuildId, u64)> = BTreeMap::new();
    for some in numbers.chunks(UNITS) {
        let sql = format!(
            "SELECT unit_id, cpu_ns, build_id FROM (\
             SELECT action_run.unit_id, action_run.cpu_ns, build_key.build_id, \
             row_number() OVER (PARTITION BY action_run.unit_id ORDER BY action_run.position DESC) AS age \
             FROM action_run JOIN build_key ON build_key.position = action_run.position \
             JOIN build ON build.id = build_key.build_id \
             WHERE action_run.position < $1 AND build.started_ns < $2 AND action_run.failed = 0 AND action_run.unit_id IN ({})\
             ) AS aged WHERE age = 1",
            keys::marks(3, some.len())
        );
        let mut values = vec![Value::Number(position), Value::Number(entry.started_ns)];
        values.extend(some.iter().map(|it| Value::Number(*it)));
        let found = value::all(rows, &sql, &values, |values| {
            let (unit, cpu_ns) = (values.next::<i64>()?, values.count()?);
            Ok((unit, cpu_ns, values.next::<String>()?.parse::<BuildId>()?))
        })?;
        for (unit, cpu_ns, by) in found {
            if let Some(unit) = units.get(&unit) {
                runs.insert((*unit).clone(), (by, cpu_ns));
            }
        }
    }
    Ok((Saved::of(&cached, &runs), price::earlier_cpu(build, &runs)))
}

fn explained(
    rows: &dyn Query,
    entry: &Entry,
    build: &Build,
    own: &[StoredKey],
    (position, past): (i64, Past),
) -> Result<Explained, Cause> {
    let build = Build {
        keys: own.iter().map(|it| it.key.clone()).collect(),
        ..build.clone()
    };
    let explanation = explain(&build, &past);
    let runs = unless_old(earlier_runs(rows, entry, position, own))?;
    let present = Present {
        build: &build,
        keys: own,
        cache: &cache_of(entry),
    };
    let done_before = done_before(present, &runs, &explanation, &past);
    Ok(Explained {
        explanation,
        done_before,
        saved: Saved::default(),
        earlier_cpu: EarlierCpu::default(),
    })
}

fn cache_of(entry: &Entry) -> CacheLocation {
    CacheLocation {
        host: entry.context.host.clone(),
        container: entry.context.container.clone(),
        path: entry.settings.get("GOCACHE").cloned(),
    }
}

/// The nearest successful earlier run of each of these actions, on all machines. Of equally near ones it is the latest.
fn earlier_runs(
    rows: &dyn Query,
    entry: &Entry,
    position: i64,
    own: &[StoredKey],
) -> Result<EarlierRuns, Cause> {
    let with_id = own.iter().filter_map(|it| {
        let short = it.key.short_id()?;
        Some(((it.unit.number(), short), it))
    });
    let wanted: BTreeMap<(i64, &str), &StoredKey> = with_id.collect();
    let pairs: Vec<(i64, &str)> = wanted.keys().copied().collect();
    let cache = cache_of(entry);
    let mut builds = BTreeMap::new();
    let mut nearest = EarlierRuns::new();
    for some in pairs.chunks(UNITS) {
        let found = runs_of(rows, position, some)?;
        let positions = found.iter().map(|it| it.position);
        let unknown = positions.filter(|it| !builds.contains_key(it)).collect();
        builds.extend(builds_at(rows, &unknown)?);
        // The nearest run of each so far.
        let mut of_action: BTreeMap<(i64, &str), (Place, &FoundRun)> = BTreeMap::new();
        for run in &found {
            let pair = (run.unit, run.id.as_str());
            let (Some(stored), Some((build, of_run))) =
                (wanted.get(&pair), builds.get(&run.position))
            else {
                continue;
            };
            if *build == entry.id {
                continue;
            }
            let place = Place::of_run((of_run, run.ended_ns), (&cache, stored.times.started_ns));
            let is_nearer = |(before, other): &(Place, &FoundRun)| {
                (place, Reverse(run.position)) < (*before, Reverse(other.position))
            };
            if of_action.get(&pair).is_none_or(is_nearer) {
                of_action.insert(pair, (place, run));
            }
        }
        for (pair, (_, run)) in of_action {
            let (Some(stored), Some((build, cache))) =
                (wanted.get(&pair), builds.get(&run.position))
            else {
                continue;
            };
            let id = stored.key.id.clone().unwrap_or_default();
            let run = EarlierRun {
                build: build.clone(),
                cache: cache.clone(),
                ended_ns: run.ended_ns,
            };
            nearest.insert((stored.unit.clone(), id), vec![run]);
        }
    }
    Ok(nearest)
}

/// A row of an earlier run.
struct FoundRun {
    unit: i64,
    id: String,
    position: i64,
    ended_ns: i64,
}

/// The successful runs of these units and action IDs before this position.
fn runs_of(rows: &dyn Query, position: i64, pairs: &[(i64, &str)]) -> Result<Vec<FoundRun>, Cause> {
    // Both lists together may contain other pairs.
    let sql = format!(
        "SELECT unit_id, action_id, position, ended_ns FROM action_run \
         WHERE position < $1 AND failed = 0 AND ended_ns IS NOT NULL AND unit_id IN ({}) AND action_id IN ({})",
        keys::marks(2, pairs.len()),
        keys::marks(2 + pairs.len(), pairs.len())
    );
    let mut values = vec![Value::Number(position)];
    values.extend(pairs.iter().map(|(unit, _)| Value::Number(*unit)));
    values.extend(pairs.iter().map(|(_, id)| Value::from(*id)));
    value::all(rows, &sql, &values, |values| {
        Ok(FoundRun {
            unit: values.next()?,
            id: values.next()?,
            position: values.next()?,
            ended_ns: values.next()?,
        })
    })
}

/// The builds whose keys have these positions.
fn builds_at(
    rows: &dyn Query,
    positions: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, (BuildId, CacheLocation)>, Cause> {
    let positions: Vec<i64> = positions.iter().copied().collect();
    let mut builds = BTreeMap::new();
    for some in positions.chunks(UNITS) {
        let sql = format!(
            "SELECT build_key.position, build.id, build.host, build.container, build.settings FROM build_key \
             JOIN build ON build.id = build_key.build_id WHERE build_key.position IN ({})",
            keys::marks(1, some.len())
        );
        let values: Vec<Value> = some.iter().map(|it| Value::Number(*it)).collect();
        builds.extend(value::all(rows, &sql, &values, build_at)?);
    }
    Ok(builds)
}

fn build_at(values: &mut RowValues) -> Result<(i64, (BuildId, CacheLocation)), Cause> {
    let position = values.next()?;
    let id = values.next::<String>()?.parse()?;
    let (host, container) = (values.next()?, values.next()?);
    let mut settings: BTreeMap<String, String> = serde_json::from_str(&values.next::<String>()?)?;
    let path = settings.remove("GOCACHE");
    let cache = CacheLocation {
        host,
        container,
        path,
    };
    Ok((position, (id, cache)))
}
