//! The central history of a fleet, in a database with the protocol of `PostgreSQL`.
//!
//! It has the same tables, columns and statements as the file. `schema/postgres-1.sql` and the modules below contain the differences.
//! An agent never waits for this database: it writes to its own file, and `forward` delivers from there. Reads wait up to a time limit.

mod address;
mod deliver;
mod schema;
mod session;
mod tls;

use std::time::Duration;

use serde::Deserialize;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Kept};

use super::build_row::BuildRow;
use super::causes::Explained;
use super::error::{Cause, Error};
use super::read::Reader;

pub use address::Address;
pub(super) use deliver::CentralWriter;

use session::Session;

/// Default time limit for the connection, and then for each answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The section `[central]` of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CentralSettings {
    /// Tenant of the builds. The database assigns a tenant to each role. If that is another tenant, the agent sends nothing.
    pub tenant: Option<String>,
    /// The agent deletes builds there that started longer ago than this. `None` deletes nothing.
    #[serde(deserialize_with = "crate::history::limit::number")]
    pub keep_days: Option<u32>,
    /// Time limit of the database to connect, and for each batch of builds.
    pub timeout_seconds: u32,
}

impl Default for CentralSettings {
    fn default() -> Self {
        Self {
            tenant: None,
            keep_days: None,
            timeout_seconds: 10,
        }
    }
}

/// Creates or upgrades the tables. The caller becomes their owner.
pub fn prepare(address: &Address) -> Result<(), Error> {
    let prepared = Session::open(address, PATIENCE).and_then(|it| schema::prepare(&it));
    prepared.map_err(|cause| cause.at(address))
}

/// The statements of [`prepare`] as text, for `psql`.
pub fn schema() -> String {
    schema::text()
}

/// Stores every build of a finished trace and returns the causes of each. The caller waits for the database.
pub(super) fn store_builds(
    finished: &FinishedTrace,
    address: &Address,
) -> Result<Vec<Explained>, Error> {
    let keep = || {
        let delivery = CentralWriter::open(address, &CentralSettings::default())?;
        let store = |kept: Kept| {
            let explained = delivery.explain(&kept)?;
            delivery.deliver([&BuildRow::of(&kept, &explained)?])?;
            Ok(explained)
        };
        let explained: Result<Vec<_>, Cause> = history::builds(finished).map(store).collect();
        explained
    };
    keep().map_err(|cause| cause.at(address))
}

/// Queries the history as of one moment.
pub(super) fn read<T>(
    address: &Address,
    query: impl Fn(&Reader<'_>) -> Result<T, Cause>,
) -> Result<T, Error> {
    let read = || {
        let session = Session::open(address, PATIENCE)?;
        schema::check(&session)?;
        session.run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        query(&Reader::new(&session))
    };
    read().map_err(|cause| cause.at(address))
}
