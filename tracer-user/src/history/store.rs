//! Writes the history: begins and ends of builds, marks of interrupted builds, and deletion of the oldest.
//!
//! Each operation is one transaction and is idempotent.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params, params_from_iter};
use tracer_core::history::{self, Aged, BuildId, Entry, Excess, Kept, Limits};
use tracer_core::model::State;

use super::build_row::{BuildRow, KeyRows, ROW_BYTES};
use super::causes::{self, Explained};
use super::connect;
use super::counters;
use super::error::{Cause, Error};
use super::keys;
use super::read::Reader;
use super::row;
use super::spool;
use super::statement::{self, BuildChange};

/// Largest number of builds that one transaction deletes, so that other writers do not wait long.
pub(super) const BATCH: usize = 200;
/// Primary key of a build.
const KEY: &str = "id";

/// A history, opened for writing.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

/// Result of retention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    pub n_deleted: usize,
    /// Deleted builds that were too old.
    pub n_too_old: usize,
    /// Size of the database afterwards.
    pub bytes: u64,
}

impl Store {
    /// Opens the history, and creates it if it does not exist.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = connect::for_writing(path).map_err(|cause| cause.at(path.display()))?;
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    /// Stores a running build, or marks a cut-off build as running. A finished build does not change.
    pub fn begin(&mut self, entry: &Entry) -> Result<(), Error> {
        let begin = |connection: &mut Connection| {
            let values = row::build_values(&entry.clone().running(), ROW_BYTES)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = statement::build(BuildChange::Begin, KEY);
            if transaction.execute(&sql, params_from_iter(&values))? > 0 {
                spool::note(&transaction, &entry.id)?;
            }
            Ok(transaction.commit()?)
        };
        self.with(begin)
    }

    /// Stores a finished build. A stored build does not change, unless only the new one has an analysis of its outputs.
    /// `gotrace run` stores a build earlier than an agent that also traces it, but does not wait for the analysis.
    /// Returns its causes; none if a stored build did not change.
    pub fn finish(&mut self, kept: &Kept) -> Result<Explained, Error> {
        self.finish_and(kept, |_| Ok(()))
    }

    /// Like [`Store::finish`], for a build that the stored counters do not contain yet. Returns its causes.
    pub(super) fn finish_uncounted(&mut self, kept: &Kept) -> Result<Explained, Error> {
        self.finish_and(kept, |connection| {
            counters::note(connection, &kept.entry.id)
        })
    }

    fn finish_and(
        &mut self,
        kept: &Kept,
        also: impl Fn(&Connection) -> Result<(), Cause>,
    ) -> Result<Explained, Error> {
        let finish = |connection: &mut Connection| {
            // Other writers do not wait for this.
            let explained = causes::explain_kept(connection, kept)?;
            let BuildRow {
                id: _,
                change,
                build,
                targets,
                packed,
                keys,
            } = BuildRow::of(kept, &explained)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = statement::build(change, KEY);
            let insert = || transaction.execute(&sql, params_from_iter(&build));
            if insert()? == 0 {
                if !adds_an_analysis(&transaction, kept)? {
                    return Ok(Explained::default());
                }
                transaction.execute("DELETE FROM build WHERE id = $1", [kept.entry.id.as_str()])?;
                insert()?;
            }
            let mut statement = transaction.prepare(&statement::target())?;
            for target in &targets {
                statement.execute(params_from_iter(target))?;
            }
            drop(statement);
            let id = &kept.entry.id;
            transaction.execute(&statement::detail(), params![id.as_str(), packed])?;
            if let Some(keys) = &keys {
                add_keys(&transaction, id, keys)?;
            }
            spool::note(&transaction, id)?;
            also(&transaction)?;
            transaction.commit()?;
            Ok(explained)
        };
        self.with(finish)
    }

    /// Marks the builds that ran when their agent ended as cut off, and returns their number. The one agent of a store calls it before
    /// its first [`Store::begin`]. If such a build is still seen to end, [`Store::finish`] stores it.
    pub fn recover(&mut self) -> Result<usize, Error> {
        let recover = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            spool::note_running(&transaction)?;
            let n = transaction.execute(
                "UPDATE build SET state = $1 WHERE state = $2",
                [State::CutOff.name(), State::Running.name()],
            )?;
            transaction.commit()?;
            Ok(n)
        };
        self.with(recover)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Queries the history as of one moment.
    pub fn read<T>(
        &mut self,
        query: impl FnOnce(&Reader<'_>) -> Result<T, Cause>,
    ) -> Result<T, Error> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            query(&Reader::new(&*transaction))
        })
    }

    /// Deletes the oldest builds until the limits hold, and returns the space to the file system. Running builds stay.
    pub fn retain(&mut self, limits: Limits, now_ns: i64) -> Result<Retained, Error> {
        self.with(|connection| retain(connection, limits, now_ns))
    }

    pub(super) fn with<T>(
        &mut self,
        f: impl FnOnce(&mut Connection) -> Result<T, Cause>,
    ) -> Result<T, Error> {
        f(&mut self.connection).map_err(|cause| cause.at(self.path.display()))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Updates the statistics of the query planner. A failure only makes lists slower.
        let _stale = self.connection.execute_batch("PRAGMA optimize");
    }
}

fn retain(connection: &mut Connection, limits: Limits, now_ns: i64) -> Result<Retained, Cause> {
    let (mut n_deleted, mut n_too_old) = (0, 0);
    keys::retain(connection, limits.max_bytes)?;
    loop {
        let excess = plan(connection, limits, now_ns)?;
        let mut n_left = excess.total();
        if n_left == 0 {
            let bytes = pages(connection)?.0;
            return Ok(Retained {
                n_deleted,
                n_too_old,
                bytes,
            });
        }
        let before = n_deleted;
        while n_left > 0 {
            let n = n_left.min(BATCH);
            let deleted = connection.execute(
                "DELETE FROM build WHERE id IN \
                 (SELECT id FROM build WHERE state <> 'running' ORDER BY started_ns, id LIMIT $1)",
                [i64::try_from(n).unwrap_or(i64::MAX)],
            )?;
            n_deleted += deleted;
            n_left -= n;
        }
        n_too_old += excess.by_age.min(n_deleted - before);
        give_back(connection)?;
    }
}

fn plan(connection: &Connection, limits: Limits, now_ns: i64) -> Result<Excess, Cause> {
    let (all, free) = pages(connection)?;
    let mut statement = connection.prepare(
        "SELECT started_ns, stored_bytes FROM build WHERE state <> 'running' ORDER BY started_ns, id",
    )?;
    let mut failed = None;
    let builds = statement.query_map([], |row| {
        Ok(Aged {
            started_ns: row.get(0)?,
            bytes: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
        })
    })?;
    let readable = builds.map_while(|it| it.map_err(|error| failed = Some(error)).ok());
    let excess = history::excess(readable, all.saturating_sub(free), limits, now_ns);
    failed.map_or(Ok(excess), |error| Err(error.into()))
}

/// Size of the database and of its free pages, in bytes.
pub(super) fn pages(connection: &Connection) -> Result<(u64, u64), Cause> {
    let number = |name: &str| -> Result<u64, Cause> {
        let n: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
        u64::try_from(n).map_err(|_| Cause::Row("a negative count of pages"))
    };
    let size = number("page_size")?;
    Ok((
        number("page_count")?.saturating_mul(size),
        number("freelist_count")?.saturating_mul(size),
    ))
}

/// Removes free pages from the file. An active reader may delay this until the next call.
pub(super) fn give_back(connection: &Connection) -> Result<(), Cause> {
    for pragma in [
        "PRAGMA incremental_vacuum",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ] {
        // Each step frees one page.
        let mut statement = connection.prepare(pragma)?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

fn add_keys(connection: &Connection, id: &BuildId, keys: &KeyRows) -> Result<(), Cause> {
    connection.execute(&statement::build_key(), params![id.as_str(), keys.packed])?;
    let mut unit = connection.prepare(statement::UNIT)?;
    let mut action = connection.prepare(statement::ACTION_RUN)?;
    for row in &keys.actions {
        unit.execute(params_from_iter(&row.unit))?;
        action.execute(params_from_iter(&row.run))?;
    }
    let mut cause = connection.prepare(statement::CAUSE)?;
    for row in &keys.causes {
        cause.execute(params_from_iter(row))?;
    }
    Ok(())
}

/// True if the stored build has no analysis of an output and `kept` has one.
fn adds_an_analysis(connection: &Connection, kept: &Kept) -> Result<bool, Cause> {
    if !kept.trace.is_analysed() {
        return Ok(false);
    }
    let stored: Option<Vec<u8>> = connection
        .query_row(
            "SELECT packed FROM detail WHERE build_id = $1",
            [kept.entry.id.as_str()],
            |row| row.get(0),
        )
        .optional()?;
    let Some(stored) = stored else {
        return Ok(false);
    };
    Ok(!history::unpack(&stored)?.is_analysed())
}

#[cfg(test)]
mod tests {
    use tracer_core::event::{Anatomy, Artifact};
    use tracer_core::finished::FinishedTrace;

    use super::*;
    use crate::render::sample;

    /// A build with one output, analysed or not.
    fn kept(is_analysed: bool) -> Kept {
        let mut trace = sample::cold();
        let output = trace.builds[0].outputs.first_mut().unwrap();
        output.artifact = Some(Artifact {
            anatomy: is_analysed.then(|| Box::new(Anatomy::default())),
            ..output.artifact.take().unwrap_or_default()
        });
        history::builds(&FinishedTrace::of(trace)).next().unwrap()
    }

    #[test]
    fn an_analysis_replaces_only_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        for order in [[false, true], [true, false], [true, true]] {
            let path = dir.path().join(format!("{order:?}"));
            let mut store = Store::open(&path).unwrap();
            for is_analysed in order {
                store.finish(&kept(is_analysed)).unwrap();
            }
            let id = kept(true).entry.id.as_str().parse().unwrap();
            let shown = store.read(|it| it.show(&id)).unwrap();
            assert!(shown.finished.unwrap().trace().is_analysed(), "{order:?}");
            assert_eq!(shown.entry.targets.len(), kept(true).entry.targets.len());
        }
    }
}
