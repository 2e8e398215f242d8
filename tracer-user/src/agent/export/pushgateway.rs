//! The Pushgateway: for machines that are gone before anybody can ask them.
//!
//! What was last known of each target is pushed as a group of its own (`group`), kept on disk until it is delivered (`spool`), and
//! deleted from the gateway when the target has not been built for long (`deliver`). Nothing is said of the machine, so that the next
//! runner replaces what this one said. Counters and histograms are not pushed: those of a machine that is gone add up to nothing.

mod deliver;
mod group;
mod seen;
mod spool;
mod theirs;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tracer_core::finished::FinishedTrace;

use self::deliver::Delivery;
use self::seen::OutputResult;
use self::spool::{Address, OwnDir, Spool};
use super::Counts;
use super::client::{Authorization, Client};
use crate::worker::{Jobs, Worker};

pub use crate::config::pushgateway::Settings;

/// Builds that wait for the thread at most. What is dropped is told by the next build of the same target.
const QUEUE: usize = 256;
/// How often it is looked whether the one before has ended.
const TURN: Duration = Duration::from_millis(100);

/// A gateway that is kept up to date.
#[derive(Debug)]
pub struct Pushgateway(Worker<Vec<OutputResult>>);

impl Pushgateway {
    /// `spool`: a directory, made if it is not there. `target_ttl`: after which time groups are deleted if the settings do not say.
    pub fn start(
        settings: &Settings,
        spool: &Path,
        target_ttl: Duration,
        log: fn(&str),
    ) -> anyhow::Result<Self> {
        let client = client(settings)?;
        let hours = settings.forget_groups_hours;
        let ttl = hours.map_or(target_ttl, |it| Duration::from_hours(u64::from(it)));
        let dir = OwnDir::new(spool)?;
        let address = Address {
            gateway: settings.url.to_string(),
            job: settings.job.clone(),
        };
        let max_groups = settings.max_groups.max(1);
        let work = move |jobs: &Jobs<Vec<OutputResult>>| {
            let spool = loop {
                match Spool::open(&dir, address.clone(), max_groups, &log) {
                    Ok(Some(spool)) => break spool,
                    Ok(None) if jobs.pause(TURN) => {}
                    Ok(None) => return,
                    Err(error) => return log(&format!("nothing is pushed: {error:#}")),
                }
            };
            Delivery::new(client, spool, ttl, log).work(jobs);
        };
        let worker = Worker::start("pushgateway", QUEUE, work);
        Ok(Self(worker.context("cannot start a thread")?))
    }

    /// Builds are over. Never waits.
    pub fn ended(&self, finished: &FinishedTrace) {
        let seen = seen::of(finished);
        if !seen.is_empty() {
            self.0.hand_over(seen);
        }
    }

    /// Does not wait.
    pub(super) fn ask_to_end(&self, deadline: Instant) {
        self.0.ask_to_end(deadline);
    }

    pub fn counts(&self) -> Counts {
        self.0.counts()
    }

    /// Delivers what it can by then. The rest is delivered by the next agent.
    pub fn finish(self, deadline: Instant) -> Counts {
        self.0.finish(deadline)
    }
}

fn client(settings: &Settings) -> anyhow::Result<Client> {
    if settings.job.is_empty() {
        bail!("pushgateway.job is empty: give a name");
    }
    let authorization = Authorization::of_files(
        settings.username.as_deref(),
        settings.password_file.as_deref(),
        settings.bearer_token_file.as_deref(),
    );
    let url = &settings.url;
    authorization
        .and_then(|it| Client::new(url.clone(), it, settings.ca_file.as_deref()))
        .with_context(|| format!("cannot push to {url}"))
}
