//! The thread that updates a gateway: receives results of builds, pushes waiting groups, and deletes stale ones.
//!
//! A push is tried three times. If the gateway remains unavailable, the groups wait on disk, and the pauses between
//! attempts grow. A refused group is not pushed again until it changes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::BuildResult;
use super::gateway_groups;
use super::group::Group;
use super::spool::{Spool, SpoolChange};
use crate::agent::export::client::{Client, HttpRequest, HttpResponse, Method, Outcome, TOTAL};
use crate::backoff::Backoff;
use crate::clock;
use crate::log::Log;
use crate::worker::{Jobs, Next};

/// Number of attempts for a push.
const TRIES: u32 = 3;
/// Pauses between these attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// Pauses between rounds while the gateway is unavailable.
const AWAY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));
/// Longest interval between two searches for stale groups.
const LOOK: Duration = Duration::from_mins(1);
/// Maximum size of a gateway's list of groups.
const LIST: u64 = 32 << 20;
const TEXT: (&str, &str) = ("content-type", "text/plain; version=0.0.4; charset=utf-8");

pub(super) struct Delivery {
    client: Client,
    spool: Spool,
    ttl: Duration,
    log: Log,
    /// Files of the groups that the gateway refused.
    refused: BTreeSet<String>,
    away: Backoff,
    /// Time of the next attempt, if the gateway is unavailable.
    not_before: Option<Instant>,
    /// The last logged refusal and disk error, which are not repeated for each group.
    logged_refusal: Option<String>,
    logged_disk_error: bool,
}

/// The gateway is unavailable.
struct Unavailable {
    why: String,
    after: Option<Duration>,
}

impl Delivery {
    pub(super) fn new(client: Client, spool: Spool, ttl: Duration, log: Log) -> Self {
        Self {
            client,
            spool,
            ttl,
            log,
            refused: BTreeSet::new(),
            away: Backoff::new(AWAY.0, AWAY.1),
            not_before: None,
            logged_refusal: None,
            logged_disk_error: false,
        }
    }

    /// Runs until the agent ends.
    pub(super) fn work(&mut self, jobs: &Jobs<Vec<BuildResult>>) {
        let mut patience = Duration::ZERO;
        loop {
            let mut next = jobs.next(patience);
            // All queued jobs are taken, so that a target that was built twice is pushed once.
            while let Next::Job(results) = next {
                self.take(jobs, results);
                next = jobs.next(Duration::ZERO);
            }
            let is_end = matches!(next, Next::End(_));
            let is_away = self.not_before.is_some_and(|it| Instant::now() < it);
            if is_end || !is_away {
                self.round(jobs);
            }
            jobs.keeps(self.spool.n_waiting());
            if is_end {
                return;
            }
            patience = self.patience();
        }
    }

    fn take(&mut self, jobs: &Jobs<Vec<BuildResult>>, results: Vec<BuildResult>) {
        for result in results {
            let SpoolChange {
                changed,
                n_dropped,
                written,
            } = self.spool.take(result);
            jobs.dropped(u64::try_from(n_dropped).unwrap_or(u64::MAX));
            self.written(written);
            for name in &changed {
                self.refused.remove(name);
            }
        }
        // This must precede the request for the next job, which marks this one as done.
        jobs.keeps(self.spool.n_waiting());
        let spool = &self.spool;
        self.refused.retain(|it| spool.get(it).is_some());
    }

    /// Pushes waiting groups and deletes stale ones, until the gateway is unavailable.
    fn round(&mut self, jobs: &Jobs<Vec<BuildResult>>) {
        let done = self.push(jobs).and_then(|n| Ok(n + self.delete(jobs)?));
        match done {
            Ok(0) => {}
            Ok(_) => {
                if self.not_before.take().is_some() {
                    self.log.info(format_args!(
                        "pushing to {} works again",
                        self.client.endpoint()
                    ));
                }
                self.away.succeeded();
            }
            Err(Unavailable { why, after }) => {
                jobs.failed(1);
                let pause = self.away.failed(after);
                if self.not_before.is_none() {
                    self.log.warn(format_args!(
                        "cannot push to {}: {why}; {} groups wait, next attempt in {} s, later ones after growing pauses",
                        self.client.endpoint(),
                        self.spool.n_waiting(),
                        pause.as_secs().max(1),
                    ));
                }
                self.not_before = Some(Instant::now() + pause);
            }
        }
    }

    /// Time until the next action.
    fn patience(&self) -> Duration {
        match self.not_before {
            Some(it) => it.saturating_duration_since(Instant::now()).min(LOOK),
            None => LOOK.min(self.ttl / 4).max(Duration::from_millis(100)),
        }
    }

    /// Returns the number of answered requests.
    fn push(&mut self, jobs: &Jobs<Vec<BuildResult>>) -> Result<u64, Unavailable> {
        let before = self.stale_before();
        let written = self.spool.forget_platforms(before);
        self.written(written);
        let mut waiting: Vec<(u64, String)> = self
            .spool
            .groups()
            .filter(|(name, it)| it.is_waiting && !self.refused.contains(*name))
            .map(|(name, it)| (it.newest_ns(), name.clone()))
            .filter(|(newest_ns, _)| *newest_ns >= before)
            .collect();
        // The oldest group waits the longest.
        waiting.sort();
        let mut n = 0;
        for (_, name) in waiting {
            let Some(group) = self.spool.get(&name) else {
                continue;
            };
            let path = group.path();
            let text = match group.text() {
                Ok(text) => text,
                Err(error) => {
                    self.refuse(jobs, name, &error.to_string());
                    continue;
                }
            };
            let headers = [TEXT];
            let request = HttpRequest {
                headers: &headers,
                body: text.as_bytes(),
                ..HttpRequest::new(Method::Put, &path)
            };
            match self.attempt(jobs, &request)? {
                Ok(_) => {
                    jobs.sent(1);
                    self.logged_refusal = None;
                    let written = self.spool.delivered(&name);
                    self.written(written);
                }
                Err(why) => self.refuse(jobs, name, &why),
            }
            jobs.keeps(self.spool.n_waiting());
            n += 1;
        }
        Ok(n)
    }

    /// Deletes stale groups, unless another machine has pushed them since.
    fn delete(&mut self, jobs: &Jobs<Vec<BuildResult>>) -> Result<u64, Unavailable> {
        let before = self.stale_before();
        let is_stale = |it: &Group| it.newest_ns() < before;
        let stale: Vec<String> = self
            .spool
            .groups()
            .filter(|(_, it)| is_stale(it))
            .map(|(name, _)| name.clone())
            .collect();
        let is_there = |it: &String| self.spool.get(it).is_some_and(|it| it.is_there);
        let list = if stale.iter().any(is_there) {
            let request = HttpRequest {
                limit: LIST,
                ..HttpRequest::new(Method::Get, "/api/v1/metrics")
            };
            Some(self.attempt(jobs, &request)?)
        } else {
            None
        };
        let mut n = 0;
        for name in stale {
            if let (Some(group), Some(list)) = (self.spool.get(&name), &list)
                && group.is_there
                && self.may_delete(group, list)
            {
                let path = group.path();
                n += 1;
                match self.attempt(jobs, &HttpRequest::new(Method::Delete, &path))? {
                    Ok(_) => jobs.sent(1),
                    Err(why) => self.refuse(jobs, name.clone(), &why),
                }
            }
            let written = self.spool.remove(&name);
            self.written(written);
        }
        Ok(n)
    }

    /// True if the group on the gateway was pushed by this machine.
    fn may_delete(&self, group: &Group, list: &Result<HttpResponse, String>) -> bool {
        let newest = match list {
            Ok(answer) if answer.is_whole => {
                gateway_groups::newest(&answer.body, &group.job, &group.target)
                    .map_err(str::to_owned)
            }
            Ok(_) => Err("the gateway's list of groups is too long".to_owned()),
            Err(why) => Err(why.clone()),
        };
        match newest {
            Ok(Some(seconds)) => {
                let own = crate::render::metrics::fold::seconds(group.newest_ns());
                // A double cannot represent each nanosecond.
                seconds <= own + 0.001
            }
            Ok(None) => false,
            Err(why) => {
                self.log.warn(format_args!(
                    "cannot delete the stale group of {1} from {0}, because another machine may have pushed it since: {why}",
                    self.client.endpoint(),
                    group.target
                ));
                false
            }
        }
    }

    /// Sends a request, with up to three attempts. The inner error is a refusal.
    fn attempt(
        &self,
        jobs: &Jobs<Vec<BuildResult>>,
        request: &HttpRequest<'_>,
    ) -> Result<Result<HttpResponse, String>, Unavailable> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut n = 0;
        loop {
            let deadline = jobs.deadline();
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            let request = HttpRequest {
                patience: left.unwrap_or(TOTAL),
                ..*request
            };
            let (why, after) = match self.client.send(&request) {
                Outcome::Done(answer) => return Ok(Ok(answer)),
                Outcome::Refused(why) => return Ok(Err(why)),
                Outcome::Later { why, after } => (why, after),
            };
            n += 1;
            if n == TRIES || !jobs.pause(backoff.failed(after)) {
                return Err(Unavailable { why, after });
            }
        }
    }

    fn refuse(&mut self, jobs: &Jobs<Vec<BuildResult>>, name: String, why: &str) {
        jobs.failed(1);
        if self.logged_refusal.as_deref() != Some(why) {
            self.log.warn(format_args!(
                "{} refused a group: {why}; the next build of the target pushes it again",
                self.client.endpoint()
            ));
            self.logged_refusal = Some(why.to_owned());
        }
        self.refused.insert(name);
    }

    fn written(&mut self, written: std::io::Result<()>) {
        match written {
            Ok(()) => self.logged_disk_error = false,
            Err(error) if !self.logged_disk_error => {
                self.log.warn(format_args!(
                    "cannot store groups for the Pushgateway on disk, so unpushed ones are lost if gotrace ends: {error}"
                ));
                self.logged_disk_error = true;
            }
            Err(_) => {}
        }
    }

    /// Groups older than this are stale, in nanoseconds since 1970.
    fn stale_before(&self) -> u64 {
        let now = u64::try_from(clock::wall_ns()).unwrap_or(0);
        let ttl = u64::try_from(self.ttl.as_nanos()).unwrap_or(u64::MAX);
        now.saturating_sub(ttl)
    }
}
