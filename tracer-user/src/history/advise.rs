//! Reads the causes of many builds, and the work that they repeated, for [`advise`].

use std::collections::BTreeMap;

use tracer_core::advise::{Advice, BuildCauses, Period, RepeatedWork, StoredCause, advise};
use tracer_core::explain::Place;
use tracer_core::history::{BuildId, commit};

use super::error::Cause;
use super::read::{Filter, condition};
use super::value::{self, Query, RowValues, Value};

/// The builds of a run of actions.
const JOINED: &str = "JOIN build_key ON build_key.position = action_run.position \
     JOIN build ON build.id = build_key.build_id";

/// Advice over the builds that match. `until_ns` is the end of the period, in nanoseconds since 1970.
pub(super) fn read(rows: &dyn Query, filter: &Filter, until_ns: i64) -> Result<Advice, Cause> {
    let (condition, values) = condition(filter);
    let wanted = format!("build.id IN (SELECT id FROM build WHERE {condition})");
    let period = period(rows, &wanted, &values, until_ns)?;
    let builds = causes(rows, &wanted, &values)?;
    let mut repeated = repeated(rows, &wanted, &values)?;
    if n_hosts(rows)? > 1 {
        repeated = merged(repeated, elsewhere(rows, &wanted, &values)?);
    }
    Ok(advise(period, &builds, repeated))
}

fn period(
    rows: &dyn Query,
    wanted: &str,
    values: &[Value],
    until_ns: i64,
) -> Result<Period, Cause> {
    let sql = format!("SELECT count(*), min(started_ns) FROM build WHERE {wanted}");
    let all = value::one(rows, &sql, values, |values| {
        Ok((values.count()?, values.next::<Option<i64>>()?))
    })?;
    let (n_all, first) = all.unwrap_or_default();
    let sql = format!(
        "SELECT count(DISTINCT action_run.position), CAST(coalesce(sum(action_run.cpu_ns), 0) AS BIGINT) \
         FROM action_run {JOINED} WHERE {wanted}"
    );
    let with_keys = value::one(rows, &sql, values, |values| {
        Ok((values.count()?, values.count()?))
    })?;
    let (n_builds, cpu_ns) = with_keys.unwrap_or_default();
    Ok(Period {
        started_ns: first.unwrap_or(until_ns),
        ended_ns: until_ns,
        n_builds,
        n_all,
        cpu_ns,
    })
}

fn causes(rows: &dyn Query, wanted: &str, values: &[Value]) -> Result<Vec<BuildCauses>, Cause> {
    let sql = format!(
        "SELECT build.id, build.project, build.host, build.revision, rebuild_cause.cause, rebuild_cause.actions, \
         rebuild_cause.cpu_ns FROM rebuild_cause JOIN build_key ON build_key.position = rebuild_cause.position \
         JOIN build ON build.id = build_key.build_id WHERE {wanted} ORDER BY rebuild_cause.position, rebuild_cause.ordinal"
    );
    let mut builds: Vec<BuildCauses> = Vec::new();
    rows.each(&sql, values, &mut |mut values| {
        let build: BuildId = values.next::<String>()?.parse()?;
        let (project, host) = (values.next()?, values.next()?);
        let revision: Option<String> = values.next()?;
        let cause = StoredCause {
            cause: serde_json::from_str(&values.next::<String>()?)?,
            n_actions: values.count()?,
            cpu_ns: values.count()?,
        };
        match builds.last_mut().filter(|it| it.build == build) {
            Some(of_build) => of_build.causes.push(cause),
            None => builds.push(BuildCauses {
                build,
                project,
                host,
                commit: revision.as_deref().and_then(commit).map(str::to_owned),
                causes: vec![cause],
            }),
        }
        Ok(())
    })?;
    Ok(builds)
}

/// The work that had been done before, as the machine of each build found it.
fn repeated(rows: &dyn Query, wanted: &str, values: &[Value]) -> Result<Vec<RepeatedWork>, Cause> {
    let sql = format!(
        "SELECT build.project, action_run.place, count(*), CAST(sum(action_run.cpu_ns) AS BIGINT), max(build.id) \
         FROM action_run {JOINED} WHERE action_run.place IS NOT NULL AND {wanted} GROUP BY build.project, action_run.place"
    );
    let found = value::all(rows, &sql, values, work)?;
    Ok(found.into_iter().flatten().collect())
}

/// The further work that another machine had done before.
fn elsewhere(rows: &dyn Query, wanted: &str, values: &[Value]) -> Result<Vec<RepeatedWork>, Cause> {
    let sql = format!(
        "SELECT project, place, count(*), CAST(sum(cpu_ns) AS BIGINT), max(id) FROM (\
         SELECT build.project, build.id, action_run.cpu_ns, \
         CASE WHEN unit.name LIKE 'link %' THEN 'link' ELSE 'fleet' END AS place \
         FROM action_run {JOINED} JOIN unit ON unit.id = action_run.unit_id \
         WHERE action_run.place IS NULL AND action_run.action_id IS NOT NULL AND {wanted} AND EXISTS (\
         SELECT 1 FROM action_run AS earlier JOIN build_key AS earlier_key ON earlier_key.position = earlier.position \
         JOIN build AS earlier_build ON earlier_build.id = earlier_key.build_id \
         WHERE earlier.unit_id = action_run.unit_id AND earlier.action_id = action_run.action_id AND earlier.failed = 0 \
         AND earlier.ended_ns IS NOT NULL AND earlier.position < action_run.position AND earlier_build.host <> build.host)\
         ) AS found GROUP BY project, place"
    );
    let found = value::all(rows, &sql, values, work)?;
    Ok(found.into_iter().flatten().collect())
}

/// `None` for a place that a later gotrace stored.
fn work(values: &mut RowValues) -> Result<Option<RepeatedWork>, Cause> {
    let project = values.next()?;
    let place: String = values.next()?;
    let (n, cpu_ns) = (values.count()?, values.count()?);
    let build = values.next::<String>()?.parse()?;
    let place = Place::ALL.into_iter().find(|it| it.name() == place);
    Ok(place.map(|place| RepeatedWork {
        project,
        place,
        n,
        cpu_ns,
        build,
    }))
}

fn merged(one: Vec<RepeatedWork>, other: Vec<RepeatedWork>) -> Vec<RepeatedWork> {
    let mut sums: BTreeMap<(Option<String>, Place), RepeatedWork> = BTreeMap::new();
    for work in one.into_iter().chain(other) {
        sums.entry((work.project.clone(), work.place))
            .and_modify(|sum| {
                sum.n = sum.n.saturating_add(work.n);
                sum.cpu_ns = sum.cpu_ns.saturating_add(work.cpu_ns);
                sum.build = sum.build.clone().max(work.build.clone());
            })
            .or_insert(work);
    }
    sums.into_values().collect()
}

/// Number of machines in the whole history.
fn n_hosts(rows: &dyn Query) -> Result<u64, Cause> {
    let sql = "SELECT count(DISTINCT coalesce(host, '')) FROM build";
    let n = value::one(rows, sql, &[], RowValues::count)?;
    Ok(n.unwrap_or(0))
}
