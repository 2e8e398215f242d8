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

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tracer_core::finished::FinishedTrace;

use self::deliver::Delivery;
use self::seen::Seen;
use self::spool::{Address, OwnDir, Spool};
use super::Counts;
use super::client::{Authorization, Client, Endpoint};
use super::worker::{Jobs, Worker};

/// Builds that wait for the thread at most. What is dropped is told by the next build of the same target.
const QUEUE: usize = 256;
/// How often it is looked whether the one before has ended.
const TURN: Duration = Duration::from_millis(100);

/// The section `[pushgateway]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Of the gateway; `/metrics/job/...` comes after it.
    pub url: Endpoint,
    /// The label `job` of all groups.
    #[serde(default = "job")]
    pub job: String,
    /// For basic authentication, with `password_file`.
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// For a token in place of a user.
    pub bearer_token_file: Option<PathBuf>,
    /// Certificates in PEM that are trusted beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// A group is deleted when its target has not been built for so long; as `forget_targets_hours` if absent.
    #[serde(default, deserialize_with = "crate::config::bound::largest")]
    pub forget_groups_hours: Option<u32>,
    /// Groups that are kept at most.
    #[serde(default = "max_groups")]
    pub max_groups: usize,
}

fn job() -> String {
    "gotrace".to_owned()
}

fn max_groups() -> usize {
    200
}

impl Settings {
    /// For a gateway at that address, and the defaults for the rest.
    pub fn of(url: Endpoint) -> Self {
        Self {
            url,
            job: job(),
            username: None,
            password_file: None,
            bearer_token_file: None,
            ca_file: None,
            forget_groups_hours: None,
            max_groups: max_groups(),
        }
    }

    fn client(&self) -> anyhow::Result<Client> {
        if self.job.is_empty() {
            bail!("pushgateway.job is empty: give a name");
        }
        let authorization = Authorization::of_files(
            self.username.as_deref(),
            self.password_file.as_deref(),
            self.bearer_token_file.as_deref(),
        );
        authorization
            .and_then(|it| Client::new(self.url.clone(), it, self.ca_file.as_deref()))
            .with_context(|| format!("cannot push to {}", self.url))
    }

    fn address(&self) -> Address {
        Address {
            gateway: self.url.to_string(),
            job: self.job.clone(),
        }
    }
}

/// A gateway that is kept up to date.
#[derive(Debug)]
pub struct Pushgateway(Worker<Vec<Seen>>);

impl Pushgateway {
    /// `spool`: a directory, made if it is not there. `target_ttl`: after which time groups are deleted if the settings do not say.
    pub fn start(
        settings: &Settings,
        spool: &Path,
        target_ttl: Duration,
        tell: fn(&str),
    ) -> anyhow::Result<Self> {
        let client = settings.client()?;
        let hours = settings.forget_groups_hours;
        let ttl = hours.map_or(target_ttl, |it| Duration::from_hours(u64::from(it)));
        let dir = OwnDir::new(spool)?;
        let (address, max_groups) = (settings.address(), settings.max_groups.max(1));
        let work = move |jobs: &Jobs<Vec<Seen>>| {
            let spool = loop {
                match Spool::open(&dir, address.clone(), max_groups, &tell) {
                    Ok(Some(spool)) => break spool,
                    Ok(None) if jobs.pause(TURN) => {}
                    Ok(None) => return,
                    Err(error) => return tell(&format!("nothing is pushed: {error:#}")),
                }
            };
            Delivery::new(client, spool, ttl, tell).work(jobs);
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
