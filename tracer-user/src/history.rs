//! The history: every traced build, in an `SQLite` database.
//!
//! The core decides which parts of a build are stored (`tracer_core::history`). This module writes, reads, deletes and shows them.
//! One process writes at a time, in one transaction for each build, so a crash loses no stored build. Readers only need the right
//! to read the file. This module traces nothing. Only `central` and `forward` use a network.

mod advise;
mod build_row;
mod causes;
pub mod central;
mod central_error;
mod connect;
mod counters;
mod csv;
mod damage;
mod error;
mod forward;
mod json;
mod keys;
pub(crate) mod limit;
mod list;
mod location;
mod pool;
mod read;
mod row;
mod show;
mod spool;
mod sqlite;
mod statement;
mod store;
mod time;
mod value;
mod view;
mod writer;

use std::path::Path;

use tracer_core::finished::FinishedTrace;
use tracer_core::history;

pub(crate) use causes::CauseSums;
pub use causes::Explained;
pub use central_error::CentralError;
pub use counters::StoredCounters;
pub use csv::builds_csv;
pub use damage::{is_movable, set_aside};
pub use error::{Cause, Error};
pub use forward::{DeliveryCounts, ForwardConfig, Forwarder};
pub use json::{
    advice_json, advice_schema, builds_json, builds_json_lines, builds_schema, compare_json,
    compare_schema, explain_json, explain_schema, show_json, show_schema,
};
pub use limit::Bound;
pub use list::list;
pub use location::Location;
pub use pool::ReadPool;
pub use read::{BuildView, Filter, Reader, back_up, read};
pub use show::show;
pub use spool::Discarded;
pub use store::{Retained, Store};
pub use time::{BadTime, TimeArg, ago, date, rfc3339};
pub use view::{View, view_json, view_schema};
pub use writer::{WriteCounts, Writer};

/// Default path of the history.
pub const DEFAULT_STORE: &str = "/var/lib/gotrace/history.db";

/// Stores every build of a finished trace and returns the causes of each. Storing a trace again changes nothing.
pub fn store_builds(finished: &FinishedTrace, path: &Path) -> Result<Vec<Explained>, Error> {
    let mut store = Store::open(path)?;
    let builds = history::builds(finished);
    builds.map(|it| store.finish(&it)).collect()
}
