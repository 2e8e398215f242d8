//! The history as a spool: reads undelivered builds in order, and deletes builds beyond the limits.
//!
//! The transaction that changes a build also marks it as undelivered. The mark is removed when the change has arrived. So a crash
//! between the two sends a build twice and loses nothing. This module does not send.

use rusqlite::{Connection, TransactionBehavior, params};
use tracer_core::history::{self, Aged, BuildId, Limits};
use tracer_core::model::State;

use super::build_row::{ActionRow, BuildRow, KeyRows};
use super::error::{Cause, Error};
use super::row;
use super::statement::{self, BuildChange};
use super::store::{BATCH, Retained, Store, give_back, pages};
use super::value::{self, Value};

/// A build that has not been delivered.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) build_row: BuildRow,
    /// Number of the change.
    change: i64,
}

/// Counts of undelivered builds and details that were deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Builds whose details were deleted before delivery.
    pub details: u64,
    /// Builds that were deleted before they, or their end, were delivered.
    pub builds: u64,
}

/// Marks a changed build as undelivered.
pub(super) fn note(connection: &Connection, id: &BuildId) -> Result<(), Cause> {
    connection.execute(
        "INSERT INTO undelivered (build_id, change) \
         VALUES ($1, (SELECT coalesce(max(change), 0) + 1 FROM undelivered)) \
         ON CONFLICT (build_id) DO UPDATE SET change = excluded.change",
        [id.as_str()],
    )?;
    Ok(())
}

/// Marks all running builds as undelivered.
pub(super) fn note_running(connection: &Connection) -> Result<(), Cause> {
    connection.execute(
        "INSERT INTO undelivered (build_id, change) \
         SELECT id, (SELECT coalesce(max(change), 0) FROM undelivered) + row_number() OVER (ORDER BY started_ns, id) \
         FROM build WHERE state = $1 \
         ON CONFLICT (build_id) DO UPDATE SET change = excluded.change",
        [State::Running.name()],
    )?;
    Ok(())
}

impl Store {
    /// The undelivered builds with the oldest changes: at least one if there is any, and at most `max` builds. Their details
    /// together have at most `max_bytes`, except for a single larger build.
    pub(super) fn undelivered(
        &mut self,
        max: usize,
        max_bytes: usize,
    ) -> Result<Vec<Undelivered>, Error> {
        self.with(|connection| {
            // One transaction, because a build may end meanwhile.
            let transaction = connection.transaction()?;
            let sql =
                format!("SELECT build_id, change FROM undelivered ORDER BY change LIMIT {max}");
            let noted = value::all(&*transaction, &sql, &[], |values| {
                Ok((values.next::<String>()?, values.next::<i64>()?))
            })?;
            let mut rows = Vec::new();
            let mut bytes = 0;
            for (id, change) in noted {
                let build_row = read_row(&transaction, id)?;
                bytes += build_row.packed.as_ref().map_or(0, Vec::len);
                if bytes > max_bytes && !rows.is_empty() {
                    break;
                }
                rows.push(Undelivered { build_row, change });
            }
            // A batch is one transaction. Transactions write the same builds in the same order, so they cannot deadlock.
            rows.sort_by(|a, b| a.build_row.id.cmp(&b.build_row.id));
            Ok(rows)
        })
    }

    /// Removes the marks of these builds: they have arrived, or never will. A build that changed since then keeps its mark.
    pub(super) fn delivered(&mut self, arrived: &[Undelivered]) -> Result<(), Error> {
        self.with(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut statement = transaction
                .prepare("DELETE FROM undelivered WHERE build_id = $1 AND change = $2")?;
            for Undelivered { build_row, change } in arrived {
                statement.execute(params![build_row.id, change])?;
            }
            drop(statement);
            Ok(transaction.commit()?)
        })
    }

    /// Number of builds whose present state has not been delivered.
    pub(super) fn n_undelivered(&mut self) -> Result<u64, Error> {
        self.with(|connection| {
            let n = value::one(
                connection,
                "SELECT count(*) FROM undelivered",
                &[],
                value::RowValues::count,
            )?;
            Ok(n.unwrap_or(0))
        })
    }

    /// True if the database uses more bytes than this.
    pub(super) fn is_over(&mut self, max_bytes: u64) -> Result<bool, Error> {
        self.with(|connection| {
            let (all, free) = pages(connection)?;
            Ok(all.saturating_sub(free) > max_bytes)
        })
    }

    /// [`Store::retain`] for a spool. Old builds are deleted in any case. By size it deletes first delivered builds, then the details
    /// of undelivered builds, then undelivered builds, each in order of age.
    pub(super) fn retain_spool(
        &mut self,
        limits: Limits,
        now_ns: i64,
    ) -> Result<(Retained, Discarded), Error> {
        self.with(|connection| {
            let age = Limits {
                max_bytes: None,
                ..limits
            };
            let size = Limits {
                max_age_ns: None,
                ..limits
            };
            let undelivered_by_age = free(connection, &UNDELIVERED, age, now_ns)?;
            let delivered_by_age = free(connection, &DELIVERED, age, now_ns)?;
            let delivered_by_size = free(connection, &DELIVERED, size, now_ns)?;
            let details = free(connection, &DETAILS, size, now_ns)?;
            let undelivered_by_size = free(connection, &UNDELIVERED, size, now_ns)?;
            let n_too_old = undelivered_by_age + delivered_by_age;
            let retained = Retained {
                n_deleted: n_too_old + delivered_by_size + undelivered_by_size,
                n_too_old,
                bytes: pages(connection)?.0,
            };
            let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
            let discarded = Discarded {
                details: number(details),
                builds: number(undelivered_by_age + undelivered_by_size),
            };
            Ok((retained, discarded))
        })
    }
}

/// One step of deletion: `plan` lists the candidates with their sizes, oldest first, and `delete` deletes the first ones.
struct DeletionPlan {
    plan: &'static str,
    delete: &'static str,
}

const DELIVERED: DeletionPlan = DeletionPlan {
    plan: "SELECT started_ns, stored_bytes FROM build \
           WHERE state <> 'running' AND id NOT IN (SELECT build_id FROM undelivered) ORDER BY started_ns, id",
    delete: "DELETE FROM build WHERE id IN (SELECT id FROM build \
             WHERE state <> 'running' AND id NOT IN (SELECT build_id FROM undelivered) ORDER BY started_ns, id LIMIT $1)",
};

const DETAILS: DeletionPlan = DeletionPlan {
    plan: "SELECT build.started_ns, length(detail.packed) FROM detail JOIN build ON build.id = detail.build_id \
           WHERE build.id IN (SELECT build_id FROM undelivered) ORDER BY build.started_ns, build.id",
    delete: "DELETE FROM detail WHERE build_id IN (SELECT build.id FROM detail JOIN build ON build.id = detail.build_id \
             WHERE build.id IN (SELECT build_id FROM undelivered) ORDER BY build.started_ns, build.id LIMIT $1)",
};

const UNDELIVERED: DeletionPlan = DeletionPlan {
    plan: "SELECT started_ns, stored_bytes FROM build \
           WHERE state <> 'running' AND id IN (SELECT build_id FROM undelivered) ORDER BY started_ns, id",
    delete: "DELETE FROM build WHERE id IN (SELECT id FROM build \
             WHERE state <> 'running' AND id IN (SELECT build_id FROM undelivered) ORDER BY started_ns, id LIMIT $1)",
};

/// Deletes by this plan until the limits hold or no candidate is left. Returns the number of deleted rows.
fn free(
    connection: &Connection,
    way: &DeletionPlan,
    limits: Limits,
    now_ns: i64,
) -> Result<usize, Cause> {
    let mut n_gone = 0;
    loop {
        let (all, free) = pages(connection)?;
        let aged = value::all(connection, way.plan, &[], |values| {
            Ok(Aged {
                started_ns: values.next()?,
                bytes: values.count()?,
            })
        })?;
        let n = history::n_to_delete(aged, all.saturating_sub(free), limits, now_ns);
        if n == 0 {
            return Ok(n_gone);
        }
        let mut n_left = n;
        while n_left > 0 {
            let some = i64::try_from(n_left.min(BATCH)).unwrap_or(i64::MAX);
            n_gone += connection.execute(way.delete, [some])?;
            n_left -= n_left.min(BATCH);
        }
        give_back(connection)?;
    }
}

fn read_row(connection: &Connection, id: String) -> Result<BuildRow, Cause> {
    let of_build = [Value::from(id.as_str())];
    let sql = format!("SELECT {} FROM build WHERE id = $1", row::BUILD.join(", "));
    let mut builds = Vec::new();
    value::Query::each(connection, &sql, &of_build, &mut |values| {
        builds.push(values.rest());
        Ok(())
    })?;
    let sql = format!(
        "SELECT {} FROM target WHERE build_id = $1 ORDER BY ordinal",
        row::TARGET.join(", ")
    );
    let mut targets = Vec::new();
    value::Query::each(connection, &sql, &of_build, &mut |values| {
        targets.push(values.rest());
        Ok(())
    })?;
    let sql = "SELECT packed FROM detail WHERE build_id = $1";
    let packed = value::one(connection, sql, &of_build, value::RowValues::next)?;
    let sql = "SELECT packed FROM build_key WHERE build_id = $1";
    let keys: Option<Vec<u8>> = value::one(connection, sql, &of_build, value::RowValues::next)?;
    let keys = match keys {
        Some(packed) => Some(read_keys(connection, &id, packed)?),
        None => None,
    };
    let build = builds.pop().ok_or(Cause::Row("a build that is gone"))?;
    let sql = "SELECT state FROM build WHERE id = $1";
    let state: Option<String> = value::one(connection, sql, &of_build, value::RowValues::next)?;
    let is_running = state.is_some_and(|it| it == State::Running.name());
    Ok(BuildRow {
        id,
        change: if is_running {
            BuildChange::Begin
        } else {
            BuildChange::End
        },
        build,
        targets,
        packed,
        keys,
    })
}

/// The rows of a build's keys. Their order and position are those of this database.
fn read_keys(connection: &Connection, id: &str, packed: Vec<u8>) -> Result<KeyRows, Cause> {
    let of_build = [Value::from(id)];
    let actions = value::all(
        connection,
        statement::ACTIONS_OF_BUILD,
        &of_build,
        |values| {
            let (unit, name) = (values.next::<Value>()?, values.next()?);
            let mut next = || values.next::<Value>();
            let run = [
                unit.clone(),
                next()?,
                next()?,
                next()?,
                next()?,
                next()?,
                next()?,
                id.into(),
            ];
            let unit = [unit, name];
            Ok(ActionRow { unit, run })
        },
    )?;
    let causes = value::all(
        connection,
        statement::CAUSES_OF_BUILD,
        &of_build,
        |values| {
            let mut next = || values.next::<Value>();
            Ok([next()?, next()?, next()?, next()?, next()?, id.into()])
        },
    )?;
    Ok(KeyRows {
        packed,
        actions,
        causes,
    })
}
