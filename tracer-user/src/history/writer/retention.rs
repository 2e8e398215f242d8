//! Counts of deleted builds since the start, for the log and the metrics, and the start of the oldest build.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::history::error::Error;
use crate::history::spool::Discarded;
use crate::history::store::{Retained, Store};
use crate::history::value::{self, RowValues};
use crate::render::units;

/// Shortest interval between log lines. A full spool is trimmed every second.
const BETWEEN_LINES: Duration = Duration::from_mins(1);

/// Deleted builds, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) by_age: u64,
    pub(crate) by_size: u64,
}

/// Shared by the thread that writes a history and the threads that log and count.
#[derive(Debug, Default)]
pub(in crate::history) struct Retention(Mutex<RetentionState>);

#[derive(Debug, Default)]
struct RetentionState {
    deleted: Deleted,
    oldest_ns: Option<i64>,
    /// Deletions that are not logged yet.
    unlogged: Unlogged,
    logged: Option<Instant>,
}

#[derive(Debug, Default)]
struct Unlogged {
    deleted: Deleted,
    /// Undelivered builds that lost their details.
    n_details: u64,
    /// Size of the database after the last deletion.
    bytes: u64,
}

impl Retention {
    /// Counts the deletions of a run of retention.
    pub(in crate::history) fn ran(&self, retained: Retained, discarded: Discarded) {
        let Retained {
            n_deleted,
            n_too_old,
            bytes,
        } = retained;
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let RetentionState {
            deleted, unlogged, ..
        } = &mut *self.lock();
        for deleted in [deleted, &mut unlogged.deleted] {
            deleted.by_age += number(n_too_old);
            deleted.by_size += number(n_deleted.saturating_sub(n_too_old));
        }
        unlogged.n_details += discarded.details;
        unlogged.bytes = bytes;
    }

    /// Reads the start of the oldest build.
    pub(in crate::history) fn measure(&self, store: &mut Store) -> Result<(), Error> {
        let oldest_ns = store.with(|connection| {
            let sql = "SELECT started_ns FROM build ORDER BY started_ns, id LIMIT 1";
            value::one(connection, sql, &[], RowValues::next)
        })?;
        self.lock().oldest_ns = oldest_ns;
        Ok(())
    }

    pub(in crate::history) fn deleted(&self) -> Deleted {
        self.lock().deleted
    }

    pub(in crate::history) fn oldest_ns(&self) -> Option<i64> {
        self.lock().oldest_ns
    }

    /// The log line about the deletions since the last line, if one is due.
    pub(in crate::history) fn line(&self) -> Option<String> {
        let RetentionState {
            unlogged, logged, ..
        } = &mut *self.lock();
        if logged.is_some_and(|it| it.elapsed() < BETWEEN_LINES) {
            return None;
        }
        let line = unlogged.line()?;
        *unlogged = Unlogged::default();
        *logged = Some(Instant::now());
        Some(line)
    }

    /// After a panic of another holder, each number is still valid by itself.
    fn lock(&self) -> MutexGuard<'_, RetentionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unlogged {
    fn line(&self) -> Option<String> {
        let Self {
            deleted: Deleted { by_age, by_size },
            n_details,
            bytes,
        } = self;
        let n = by_age + by_size;
        let size = units::size(*bytes);
        let what = match (n, n_details) {
            (0, 0) => return None,
            (0, _) => format!("the details of {n_details} undelivered builds"),
            (_, 0) => format!("{n} builds ({by_age} by age, {by_size} by size)"),
            (_, _) => format!(
                "{n} builds ({by_age} by age, {by_size} by size) and the details of {n_details} undelivered builds"
            ),
        };
        Some(format!(
            "retention deleted {what}; the history takes {size} now"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retained(n_deleted: usize, n_too_old: usize) -> Retained {
        Retained {
            n_deleted,
            n_too_old,
            bytes: 34_500_000,
        }
    }

    #[test]
    fn deletions_are_counted_and_logged_once_and_not_too_often() {
        let retention = Retention::default();
        retention.ran(retained(0, 0), Discarded::default());
        assert_eq!(retention.line(), None);
        retention.ran(retained(12, 10), Discarded::default());
        let line = retention.line().unwrap();
        assert_eq!(
            line,
            "retention deleted 12 builds (10 by age, 2 by size); the history takes 34.50 MB now"
        );
        // This deletion belongs to the line of the next minute.
        retention.ran(retained(1, 0), Discarded::default());
        assert_eq!(retention.line(), None);
        let (by_age, by_size) = (10, 3);
        assert_eq!(retention.deleted(), Deleted { by_age, by_size });
    }

    #[test]
    fn deleted_details_are_logged() {
        let discarded = Discarded {
            details: 3,
            builds: 0,
        };
        for (n, line) in [
            (
                0,
                "retention deleted the details of 3 undelivered builds; the history takes 34.50 MB now",
            ),
            (
                2,
                "retention deleted 2 builds (0 by age, 2 by size) and the details of 3 undelivered builds; \
                 the history takes 34.50 MB now",
            ),
        ] {
            let retention = Retention::default();
            retention.ran(retained(n, 0), discarded);
            assert_eq!(retention.line().unwrap(), line);
        }
    }
}
