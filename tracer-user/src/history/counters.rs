//! What was counted of all builds, beside the builds. The text is the counter's own; here it is kept as of a moment, with the builds
//! that were stored after it: whoever counts those too has what the one before had, however that one ended.

use rusqlite::{Connection, OptionalExtension as _, params};
use tracer_core::history::BuildId;

use super::error::{Cause, Error};
use super::store::Store;

/// What was counted, up to a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredCounters {
    /// Absent before the first time.
    pub counted: Option<String>,
    /// Stored since, in the order of their ids.
    pub uncounted: Vec<BuildId>,
}

/// Notes that a build is stored and not yet in the text.
pub(super) fn note(connection: &Connection, id: &BuildId) -> Result<(), Cause> {
    connection.execute(
        "INSERT INTO uncounted (build_id) VALUES ($1) ON CONFLICT DO NOTHING",
        [id.as_str()],
    )?;
    Ok(())
}

impl Store {
    /// What was counted before.
    pub fn tally(&mut self) -> Result<StoredCounters, Error> {
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

    /// All builds that are stored are in this text.
    pub fn set_tally(&mut self, counted: &str) -> Result<(), Error> {
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
