//! The central history: that of a fleet, in a database that speaks `PostgreSQL`'s protocol.
//!
//! Tables, columns and statements are those of the file; what differs is in `schema/postgres-1.sql` and in the modules below. An agent
//! never waits for it: it writes to its own file, and `forward` delivers from there. Reading waits, as long as it is allowed to.

mod address;
mod deliver;
mod schema;
mod session;
mod tls;

use std::time::Duration;

use serde::Deserialize;
use tracer_core::finished::FinishedTrace;
use tracer_core::history;

use super::build_row::BuildRow;
use super::error::{Cause, Error};
use super::read::Reader;

pub use address::Address;
pub(super) use deliver::CentralWriter;

use session::Session;

/// For a connection, and then for each answer, unless something else is said.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What an operator decides about a central history; its section in the configuration file is `central`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CentralSettings {
    /// Whose builds these are. The database says which tenant a role belongs to; an agent that finds another one sends nothing.
    pub tenant: Option<String>,
    /// Builds that started longer ago than this are deleted there; none if absent.
    #[serde(deserialize_with = "crate::history::limit::number")]
    pub keep_days: Option<u32>,
    /// How long the database may take to connect and for each batch of builds.
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

/// Makes the tables, or brings them up to date. For whoever is going to own them.
pub fn prepare(address: &Address) -> Result<(), Error> {
    let prepared = Session::open(address, PATIENCE).and_then(|it| schema::prepare(&it));
    prepared.map_err(|cause| cause.at(address))
}

/// What [`prepare`] does, as text for whoever prefers to run it by hand.
pub fn schema() -> String {
    schema::text()
}

/// Stores every build of a trace that is over; returns how many. Whoever calls this waits for it.
pub(super) fn store_builds(finished: &FinishedTrace, address: &Address) -> Result<usize, Error> {
    let keep = || {
        let delivery = CentralWriter::open(address, &CentralSettings::default())?;
        let mut n = 0;
        for kept in history::builds(finished) {
            delivery.deliver([&BuildRow::of(&kept)?])?;
            n += 1;
        }
        Ok(n)
    };
    keep().map_err(|cause: Cause| cause.at(address))
}

/// Asks the history as it is at one moment.
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
