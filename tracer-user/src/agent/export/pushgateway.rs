//! The Pushgateway, for machines that are deleted before Prometheus can scrape them.
//!
//! The last known state of each target is pushed as its own group (`group`) and stored on disk until delivery (`spool`).
//! The group is deleted from the gateway when the target has not been built for long (`deliver`). Groups do not contain
//! the machine, so the next runner replaces the values of this one. Counters and histograms are not pushed: counters of
//! deleted machines have no useful sum.

mod build_result;
mod deliver;
mod gateway_groups;
mod group;
mod spool;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tracer_core::finished::FinishedTrace;

use self::build_result::BuildResult;
use self::deliver::Delivery;
use self::spool::{Address, OwnDir, Spool};
use super::Counts;
use super::client::{Authorization, Client};
use crate::config::Key;
use crate::log::Log;
use crate::worker::{Jobs, Worker};

pub use crate::config::pushgateway::PushgatewaySettings;

/// Maximum number of waiting traces. The next build of a target replaces a dropped one.
const QUEUE: usize = 256;
/// Interval of checks for the end of the previous output.
const TURN: Duration = Duration::from_millis(100);

/// The output for a gateway.
#[derive(Debug)]
pub struct Pushgateway(Worker<Vec<BuildResult>>);

impl Pushgateway {
    /// Starts the thread. The directory `spool` is created if necessary. `target_ttl` is the default time after which groups
    /// are deleted.
    pub fn start(
        settings: &PushgatewaySettings,
        spool: &Path,
        target_ttl: Duration,
        log: Log,
    ) -> anyhow::Result<Self> {
        let client = prepare(settings)?;
        let hours = settings.forget_groups_hours;
        let ttl = hours.map_or(target_ttl, |it| Duration::from_hours(u64::from(it)));
        let dir = OwnDir::new(spool)?;
        let address = Address {
            gateway: settings.url.to_string(),
            job: settings.job.clone(),
        };
        let max_groups = settings.max_groups.max(1);
        let work = move |jobs: &Jobs<Vec<BuildResult>>| {
            let spool = loop {
                match Spool::open(&dir, address.clone(), max_groups, &log) {
                    Ok(Some(spool)) => break spool,
                    Ok(None) if jobs.pause(TURN) => {}
                    Ok(None) => return,
                    Err(error) => {
                        log.error(format_args!(
                            "the Pushgateway output is disabled: {error:#}"
                        ));
                        return;
                    }
                }
            };
            Delivery::new(client, spool, ttl, log).work(jobs);
        };
        let worker = Worker::start("pushgateway", QUEUE, work);
        Ok(Self(worker.context("cannot start a thread")?))
    }

    /// Queues ended builds, without waiting.
    pub fn ended(&self, finished: &FinishedTrace) {
        let results = build_result::of(finished);
        if !results.is_empty() {
            self.0.hand_over(results);
        }
    }

    /// Requests the end, without waiting.
    pub(super) fn ask_to_end(&self, deadline: Instant) {
        self.0.ask_to_end(deadline);
    }

    pub fn counts(&self) -> Counts {
        self.0.counts()
    }

    /// Delivers as much as possible before the deadline. The next agent delivers the rest.
    pub fn finish(self, deadline: Instant) -> Counts {
        self.0.finish(deadline)
    }
}

/// Checks everything that a start needs, without a thread, a spool or a connection.
pub(super) fn prepare(settings: &PushgatewaySettings) -> anyhow::Result<Client> {
    if settings.job.is_empty() {
        return Err(anyhow!("the name is empty")).context(Key("pushgateway.job"));
    }
    let authorization = Authorization::of_files(
        settings.username.as_deref(),
        settings.password_file.as_deref(),
        settings.bearer_token_file.as_deref(),
    );
    let url = &settings.url;
    let credentials = Key(match settings {
        PushgatewaySettings {
            bearer_token_file: Some(_),
            ..
        } => "pushgateway.bearer_token_file",
        PushgatewaySettings {
            password_file: Some(_),
            ..
        } => "pushgateway.password_file",
        _ => "pushgateway.username",
    });
    let authorization = authorization
        .and_then(|it| it.check().map(|()| it))
        .with_context(|| format!("cannot push to {url}"))
        .context(credentials)?;
    Client::new(url.clone(), authorization, settings.ca_file.as_deref())
        .with_context(|| format!("cannot push to {url}"))
        .context(Key(match settings.ca_file {
            Some(_) => "pushgateway.ca_file",
            None => "pushgateway.url",
        }))
}
