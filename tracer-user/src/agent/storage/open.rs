//! Opens the history for the only agent that writes it. A damaged history is moved aside and replaced by a new one:
//! a service that cannot start would lose all later builds.

use std::fs;
use std::sync::Arc;

use crate::agent::Config;
use crate::agent::metrics::Metrics;
use crate::agent::startup::{lock, restore};
use crate::clock;
use crate::config::SizeBudget;
use crate::history::{self, Error, Store, Writer};
use crate::log::Log;

/// Maximum number of builds that wait for the database.
const QUEUE: usize = 1024;

/// An open history and the metrics that were read from it.
pub(super) struct Opened {
    /// Held as long as this agent writes the history.
    pub(super) lock: fs::File,
    pub(super) writer: Writer,
    pub(super) metrics: Arc<Metrics>,
    /// Number of damaged histories that were moved aside.
    pub(super) n_set_aside: u64,
}

/// `goes_on` is true if the observer still traces the running builds of the history.
pub(super) fn history(config: &Config, goes_on: bool, log: &Log) -> anyhow::Result<Opened> {
    let path = &config.store;
    // Opening creates the directory, which the lock needs.
    let is_damaged = match Store::open(path) {
        Ok(_) => false,
        Err(error) if error.is_damaged() => true,
        Err(error) => return Err(error.into()),
    };
    let lock = lock(path)?;
    let mut n_set_aside = set_aside(config, is_damaged, log)?;
    let (writer, metrics) = match begin(config, goes_on, log) {
        Err(error) if error.downcast_ref().is_some_and(Error::is_damaged) => {
            n_set_aside += set_aside(config, true, log)?;
            begin(config, goes_on, log)?
        }
        begun => begun?,
    };
    Ok(Opened {
        lock,
        writer,
        metrics,
        n_set_aside,
    })
}

/// Returns the number of histories that were moved.
fn set_aside(config: &Config, failed: bool, log: &Log) -> anyhow::Result<u64> {
    let path = &config.store;
    let Some(aside) = history::set_aside(path, failed, clock::wall_ns())? else {
        return Ok(0);
    };
    log.error(format_args!(
        "the history {} is damaged: moved it to {} and began a new one",
        path.display(),
        aside.display()
    ));
    Ok(1)
}

fn begin(config: &Config, goes_on: bool, log: &Log) -> anyhow::Result<(Writer, Arc<Metrics>)> {
    let path = &config.store;
    let writer = if goes_on {
        Writer::resume(path, QUEUE, log.clone())?
    } else {
        let (writer, n_cut_off) = Writer::start(path, QUEUE, log.clone())?;
        if n_cut_off > 0 {
            log.warn(format_args!(
                "{n_cut_off} builds were running when gotrace last ended: marked them as cut off"
            ));
        }
        writer
    };
    let metrics = Arc::new(Metrics::new(config.target_ttl)?);
    metrics.set_parts(config.metrics);
    metrics.set_size_budget(config.size_budget.map(|SizeBudget(limit)| limit));
    restore(&metrics, &mut Store::open(path)?, log)?;
    Ok((writer, metrics))
}
