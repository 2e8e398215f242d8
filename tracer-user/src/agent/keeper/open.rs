//! Opening the history for the one agent that writes it. A damaged history is moved aside and a new one begun: a service that cannot
//! start would lose every build from then on.

use std::fs;
use std::sync::Arc;

use crate::agent::Config;
use crate::agent::begin::{lock, restore};
use crate::agent::metrics::Metrics;
use crate::clock;
use crate::config::SizeBudget;
use crate::history::{self, Error, Store, Writer};

/// Builds that wait to be stored at most.
const QUEUE: usize = 1024;

/// A history that is open, and what was read from it.
pub(super) struct Opened {
    /// The lock: nobody else writes it.
    pub(super) alone: fs::File,
    pub(super) writer: Writer,
    pub(super) metrics: Arc<Metrics>,
    /// Damaged histories that were moved aside.
    pub(super) n_set_aside: u64,
}

/// `goes_on`: builds that were under way are still followed.
pub(super) fn history(config: &Config, goes_on: bool, tell: fn(&str)) -> anyhow::Result<Opened> {
    let path = &config.store;
    // Made first, so that there is a directory for the lock.
    let is_damaged = match Store::open(path) {
        Ok(_) => false,
        Err(error) if error.is_damaged() => true,
        Err(error) => return Err(error.into()),
    };
    let alone = lock(path)?;
    let mut n_set_aside = set_aside(config, is_damaged, tell)?;
    let (writer, metrics) = match begin(config, goes_on, tell) {
        Err(error) if error.downcast_ref().is_some_and(Error::is_damaged) => {
            n_set_aside += set_aside(config, true, tell)?;
            begin(config, goes_on, tell)?
        }
        begun => begun?,
    };
    Ok(Opened {
        alone,
        writer,
        metrics,
        n_set_aside,
    })
}

/// Returns how many histories were moved.
fn set_aside(config: &Config, failed: bool, tell: fn(&str)) -> anyhow::Result<u64> {
    let path = &config.store;
    let Some(aside) = history::set_aside(path, failed, clock::wall_ns())? else {
        return Ok(0);
    };
    tell(&format!(
        "the history {} is damaged: moved it to {} and began a new one",
        path.display(),
        aside.display()
    ));
    Ok(1)
}

fn begin(config: &Config, goes_on: bool, tell: fn(&str)) -> anyhow::Result<(Writer, Arc<Metrics>)> {
    let path = &config.store;
    let writer = if goes_on {
        Writer::resume(path, QUEUE, tell)?
    } else {
        let (writer, n_cut_off) = Writer::start(path, QUEUE, tell)?;
        if n_cut_off > 0 {
            tell(&format!(
                "{n_cut_off} builds were under way when gotrace last ended: marked cut off"
            ));
        }
        writer
    };
    let metrics = Arc::new(Metrics::new(config.target_ttl)?);
    metrics.set_size_budget(config.size_budget.map(|SizeBudget(limit)| limit));
    restore(&metrics, &mut Store::open(path)?, tell)?;
    Ok((writer, metrics))
}
