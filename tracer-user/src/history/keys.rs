//! Reads cache keys: those of a build, and the earlier ones of the same units. Deletes the oldest ones.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use tracer_core::explain::{PAST_MAX, Past, PastKey, Unit};
use tracer_core::history::{self, BuildId, Entry, StoredKey};

use super::error::Cause;
use super::value::{self, Query, RowValues, Value};

/// Largest number of units in one statement.
pub(super) const UNITS: usize = 200;
/// Keys may use this part of the limit of a history.
const SHARE: u64 = 4;

/// The keys of a build, with their position. `None` without keys.
pub(super) fn own(rows: &dyn Query, entry: &Entry) -> Result<Option<(i64, Vec<StoredKey>)>, Cause> {
    let found = value::one(
        rows,
        "SELECT position, packed FROM build_key WHERE build_id = $1",
        &[entry.id.as_str().into()],
        |values| Ok((values.next::<i64>()?, values.next::<Vec<u8>>()?)),
    );
    match found {
        // An earlier gotrace wrote the history.
        Err(Cause::Sqlite(error)) if error.to_string().contains("no such table") => Ok(None),
        Ok(Some((position, packed))) => Ok(Some((position, history::unpack_keys(&packed)?))),
        Ok(None) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The earlier keys of the same units, from builds on the same machine before this position.
pub(super) fn past(
    rows: &dyn Query,
    entry: &Entry,
    position: i64,
    own: &[StoredKey],
) -> Result<Past, Cause> {
    let mut past = Past::new();
    for (build, units) in earlier(rows, entry, position, own)? {
        let packed: Option<Vec<u8>> = value::one(
            rows,
            "SELECT packed FROM build_key WHERE build_id = $1",
            &[build.as_str().into()],
            RowValues::next,
        )?;
        let Some(packed) = packed else {
            continue;
        };
        for stored in history::unpack_keys_of(&packed, &units)? {
            past.entry(stored.unit).or_default().push(PastKey {
                build: build.clone(),
                key: stored.key,
                has_failed: stored.has_failed,
            });
        }
    }
    Ok(past)
}

/// `$4, $5, $6`: numbered parameters of a statement.
pub(super) fn marks(first: usize, n: usize) -> String {
    let marks: Vec<String> = (first..first + n).map(|n| format!("${n}")).collect();
    marks.join(", ")
}

/// The earlier builds that have keys of these units, latest first, and for each build those units of which it has one of the last keys.
/// The last keys of the same directory count apart: many other builds of a unit may end while this one runs. A digest of a removed value can be compared only with those of the same machine.
fn earlier(
    rows: &dyn Query,
    entry: &Entry,
    position: i64,
    own: &[StoredKey],
) -> Result<Vec<(BuildId, BTreeSet<Unit>)>, Cause> {
    let mut builds: BTreeMap<i64, (BuildId, BTreeSet<Unit>)> = BTreeMap::new();
    let units: BTreeMap<i64, &Unit> = own.iter().map(|it| (it.unit.number(), &it.unit)).collect();
    let numbers: Vec<i64> = units.keys().copied().collect();
    for some in numbers.chunks(UNITS) {
        let sql = format!(
            "SELECT position, build_id, unit_id FROM (\
             SELECT build_key.position, build_key.build_id, action_run.unit_id, \
             row_number() OVER (PARTITION BY action_run.unit_id, coalesce(build.dir, '') = $1 \
             ORDER BY build_key.position DESC) AS age \
             FROM action_run JOIN build_key ON build_key.position = action_run.position \
             JOIN build ON build.id = build_key.build_id \
             WHERE build_key.position < $2 AND coalesce(build.host, '') = $3 AND action_run.unit_id IN ({})\
             ) AS aged WHERE age <= {PAST_MAX}",
            marks(4, some.len())
        );
        let text = |it: &Option<String>| Value::Text(it.clone().unwrap_or_default());
        let (dir, host) = (text(&entry.dir), text(&entry.context.host));
        let mut values = vec![dir, Value::Number(position), host];
        values.extend(some.iter().map(|it| Value::Number(*it)));
        let found = value::all(rows, &sql, &values, |values| {
            let position: i64 = values.next()?;
            let build = values.next::<String>()?.parse::<BuildId>()?;
            Ok((position, build, values.next::<i64>()?))
        })?;
        for (position, build, number) in found.into_iter().filter(|it| it.1 != entry.id) {
            let of_build = builds.entry(position).or_insert((build, BTreeSet::new()));
            of_build
                .1
                .extend(units.get(&number).map(|it| (*it).clone()));
        }
    }
    Ok(builds.into_values().rev().collect())
}

/// Deletes the oldest keys beyond their part of the limit, and the names of units without an action.
pub(super) fn retain(connection: &Connection, max_bytes: Option<u64>) -> Result<(), Cause> {
    let Some(limit) = max_bytes.map(|it| it / SHARE) else {
        return Ok(());
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let n = connection.execute(
        "DELETE FROM build_key WHERE position IN (SELECT position FROM (\
         SELECT position, sum(length(packed)) OVER (ORDER BY position DESC) AS bytes FROM build_key) WHERE bytes > $1)",
        [limit],
    )?;
    if n > 0 {
        connection.execute(
            "DELETE FROM unit WHERE id NOT IN (SELECT unit_id FROM action_run)",
            [],
        )?;
    }
    Ok(())
}
