//! Counters over all builds, stored beside the builds. Their text is opaque to this module. It is stored with the IDs of the builds
//! that were stored after it. A new agent that also counts those builds restores the counters, even after a crash.

use rusqlite::{Connection, OptionalExtension as _, params};
use tracer_core::history::BuildId;

use super::error::{Cause, Error};
use super::store::Store;

/// Stored counters, and the builds since then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredCounters {
    /// The counters as text; `None` before the first time.
    pub counted: Option<String>,
    /// Builds stored since then, in order of their IDs.
    pub uncounted: Vec<BuildId>,
}

/// Notes a stored build that the counters do not contain yet.
pub(super) fn note(connection: &Connection, id: &BuildId) -> Result<(), Cause> {
    connection.execute(
        "INSERT INTO uncounted (build_id) VALUES ($1) ON CONFLICT DO NOTHING",
        [id.as_str()],
    )?;
    Ok(())
}

impl Store {
    /// Reads the stored counters.
    pub fn counters(&mut self) -> Result<StoredCounters, Error> {
        self.with(|connection| {
            let sql = "SELECT counted FROM tally";
            let counted = connection.query_row(sql, [], |row| row.get(0)).optional()?;
            let mut statement =
                connection.prepare("SELECT build_id FROM uncounted ORDER BY build_id")?;
            let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
            let uncounted = ids
                .map(|id| Ok(id?.parse()?))
                .collect::<Result<Vec<BuildId>, Cause>>()?;
            Ok(StoredCounters { counted, uncounted })
        })
    }

    /// Stores the counters, which contain all stored builds.
    pub fn set_counters(&mut self, counted: &str) -> Result<(), Error> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT INTO tally (number, counted) VALUES (1, $1) \
                 ON CONFLICT (number) DO UPDATE SET counted = excluded.counted",
                params![counted],
            )?;
            transaction.execute("DELETE FROM uncounted", [])?;
            Ok(transaction.commit()?)
        })
    }
}
