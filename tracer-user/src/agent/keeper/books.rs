//! What is done with builds: counted, stored, sent, and served. Nothing here waits for a disk or a network once it is open: the history
//! has a queue and a thread, and so has the server.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use tracer_core::finished::{FinishedBuild, FinishedTrace};
use tracer_core::history::{self, BuildId, Entry};
use tracer_core::model::Trace;
use tracer_core::recording::Detail;

use super::open::{self, Opened};
use crate::agent::begin::{forward, listen, surroundings};
use crate::agent::export::outputs::Outputs;
use crate::agent::http::{Readiness, Served, Server};
use crate::agent::metrics::Reload;
use crate::agent::{Config, Load, REST};
use crate::clock;
use crate::config::{File, SizeBudget};
use crate::driver::{ObserverStatus, SelfTestVerdict};
use crate::history::{Forwarder, ReadPool, Writer};
use crate::proc;

/// How often what is too old or too much is thrown away.
const RETENTION: Duration = Duration::from_mins(10);
/// How often what was counted is written down. Builds that are stored meanwhile are counted again from the history after a kill.
const TALLY: Duration = Duration::from_secs(10);

/// All that the keeper has.
pub(super) struct Books<'a> {
    pub(super) config: Config,
    load: Load<'a>,
    pub(super) reload: Reload,
    pub(super) writer: Writer,
    pub(super) forwarder: Option<Forwarder>,
    pub(super) served: Arc<Served>,
    pub(super) pages: Option<Server>,
    pub(super) outputs: Outputs,
    retained: Option<Instant>,
    pub(super) tally: Counting,
    /// When something was last under way, if memory was not given back since.
    busy: Option<Instant>,
    /// Up to which trace an earlier keeper was told, if there was one.
    again: Option<u64>,
    traces: Traces,
    pub(super) tell: fn(&str),
    pub(super) n_set_aside: u64,
    /// That nobody else writes the history.
    pub(super) alone: fs::File,
}

/// How far it has come with what it was told.
#[derive(Default)]
struct Traces {
    /// Handed to the history.
    taken: u64,
    /// Of those, stored or given up, as the watcher knows.
    answered: u64,
}

/// What was counted, and is to be written down.
pub(super) struct Counting {
    /// Since the last time.
    pub(super) is_news: bool,
    written: Option<Instant>,
}

impl<'a> Books<'a> {
    /// Opens the history and all that is configured. Fails where an operator's mistake would otherwise be found when the first build is
    /// over.
    pub(super) fn open(
        load: Load<'a>,
        file: &File,
        again: Option<u64>,
        tell: fn(&str),
    ) -> anyhow::Result<Self> {
        let config = load(file)?;
        let Opened {
            alone,
            writer,
            metrics,
            n_set_aside,
        } = open::history(&config, again.is_some(), tell)?;
        let served = Arc::new(Served {
            metrics: Arc::clone(&metrics),
            // Of this machine, also where there is a central one: whoever builds here can ask here, and a fleet's is not theirs to read.
            history: ReadPool::new(&config.store),
            readiness: Readiness::not_yet("the kernel programs are being loaded"),
        });
        let outputs = Outputs::start(&config.outputs, &surroundings(&config, &metrics, tell))?;
        let pages = config
            .listen
            .map(|address| listen(address, &served))
            .transpose()?;
        Ok(Self {
            config,
            load,
            reload: Reload::now(),
            writer,
            forwarder: None,
            served,
            pages,
            outputs,
            retained: None,
            // What was just put together is written down at once.
            tally: Counting {
                is_news: true,
                written: None,
            },
            busy: Some(Instant::now()),
            again,
            traces: Traces::default(),
            tell,
            n_set_aside,
            alone,
        })
    }

    /// How much is to be seen.
    pub(super) fn detail(&self) -> Detail {
        self.config.detail
    }

    /// Builds are followed from now on.
    pub(super) fn follow(&mut self, n_probes: usize) -> anyhow::Result<()> {
        let central = self.config.central.as_ref();
        let forwarder = central.map(|it| forward(it, &self.config, self.tell));
        self.forwarder = forwarder.transpose()?;
        let pages = self.pages.as_ref();
        let pages = pages.map_or_else(String::new, |it| {
            format!(", metrics at http://{}/metrics", it.address())
        });
        (self.tell)(&if self.again.is_some() {
            format!("the history is kept again{pages}")
        } else {
            format!(
                "following every Go build on this machine: {n_probes} probes on, history in {}{}{pages}",
                self.config.store.display(),
                central.map_or_else(String::new, |it| format!(
                    " and from there in {}",
                    it.address
                )),
            )
        });
        self.is_ready_by(&SelfTestVerdict::Pending);
        Ok(())
    }

    pub(super) fn begun(&self, entry: Entry) {
        self.writer.begin(entry);
    }

    /// The trace of that number is over. Its builds may be stored already, if that is known of it or an earlier keeper was told.
    pub(super) fn ended(&mut self, n: u64, is_known: bool, trace: Trace) {
        let mut finished = FinishedTrace::of(trace);
        if is_known || self.again.is_some_and(|told| n <= told) {
            // What the keeper before stored it also counted, or it was counted from the history since.
            let stored = self.stored(&finished);
            finished.retain(|it| !stored.contains(&it.id));
        }
        if finished.builds().next().is_some() {
            self.count(&finished);
        }
        for build in history::builds(&finished) {
            self.writer.finish(build);
        }
        self.traces.taken = self.traces.taken.max(n);
    }

    fn count(&mut self, finished: &FinishedTrace) {
        let traces = self.outputs.traces(finished);
        let trace_id = |build: FinishedBuild<'_>| traces.get(&build.entry.id).copied();
        if let Err(error) = self.served.metrics.observe(finished, &trace_id) {
            (self.tell)(&format!("a build was not counted: {error}"));
        }
        self.tally.is_news = true;
        self.outputs.ended(finished);
    }

    /// Which of them are in the history, whole.
    fn stored(&self, finished: &FinishedTrace) -> BTreeSet<BuildId> {
        let stored = self.served.history.read(|history| {
            let mut stored = BTreeSet::new();
            for build in finished.builds() {
                if history.is_stored(&build.entry.id)? {
                    stored.insert(build.entry.id.clone());
                }
            }
            Ok(stored)
        });
        stored.unwrap_or_else(|error| {
            (self.tell)(&format!("builds may be counted twice: {error}"));
            BTreeSet::new()
        })
    }

    /// The watcher says how it is doing. Returns up to which trace all is stored, if that is news.
    /// Fails if the history is damaged: another keeper moves it aside.
    pub(super) fn status(&mut self, status: &ObserverStatus) -> anyhow::Result<Option<u64>> {
        if self.writer.is_damaged() {
            bail!(
                "the history {} turned out to be damaged while builds were stored",
                self.config.store.display()
            );
        }
        self.is_ready_by(&status.self_test);
        let metrics = &self.served.metrics;
        if let Err(error) = metrics.set_self(status, &self.storage()) {
            (self.tell)(&format!("gotrace's own metrics are stale: {error}"));
        }
        if status.n_sessions > 0 {
            self.busy = Some(Instant::now());
        } else if self.busy.is_some_and(|it| it.elapsed() > REST) {
            self.busy = None;
            proc::give_back_memory();
        }
        let is_old = self.tally.written.is_none_or(|it| it.elapsed() > TALLY);
        if self.tally.is_news && is_old {
            self.write_tally();
        }
        let is_due = self.retained.is_none_or(|it| it.elapsed() > RETENTION);
        if is_due {
            // What has not been delivered is the last to go, and what that is is known where it is delivered.
            let is_heard = if let Some(forwarder) = &self.forwarder {
                forwarder.set_limits(self.config.limits)
            } else {
                self.writer.retain(self.config.limits, clock::wall_ns());
                true
            };
            self.retained = is_heard.then(Instant::now);
        }
        let of_spool = self.forwarder.as_ref();
        let of_spool = of_spool.and_then(Forwarder::retention_line);
        for line in self.writer.retention_line().into_iter().chain(of_spool) {
            (self.tell)(&line);
        }
        Ok(self.reached())
    }

    fn reached(&mut self) -> Option<u64> {
        let Traces { taken, answered } = &mut self.traces;
        let reached = self.writer.reached();
        if reached < *taken {
            self.writer.mark(*taken);
        }
        (reached > *answered).then(|| {
            *answered = reached;
            reached
        })
    }

    /// Goes on with another configuration, if it can. Returns how much is to be seen, if it was taken over.
    pub(super) fn reload(&mut self, file: Result<File, String>) -> Option<Detail> {
        let wanted = file.map_err(anyhow::Error::msg);
        let wanted = wanted.and_then(|file| (self.load)(&file));
        let taken = wanted.and_then(|wanted| self.take_over(wanted));
        match taken {
            Ok(detail) => {
                self.reload = Reload::now();
                Some(detail)
            }
            Err(error) => {
                self.reload.is_good = false;
                (self.tell)(&format!("the configuration stays as it was: {error:#}"));
                None
            }
        }
    }

    /// Goes on with another configuration; with the present one, if anything in it does not work. Returns the level of detail.
    fn take_over(&mut self, wanted: Config) -> anyhow::Result<Detail> {
        let (wanted, fixed) = wanted.taken_over(&self.config);
        let has_moved = wanted.listen != self.config.listen;
        let address = wanted.listen.filter(|_| has_moved);
        let pages = address.map(|it| listen(it, &self.served)).transpose()?;
        self.outputs.change(
            (&self.config.outputs, self.config.target_ttl),
            &wanted.outputs,
            &surroundings(&wanted, &self.served.metrics, self.tell),
        )?;
        // Only now: the old pages are there until all else that can fail is done.
        if has_moved {
            if let Some(pages) = &pages {
                (self.tell)(&format!("pages are at http://{}", pages.address()));
            }
            self.pages = pages;
        }
        self.served.metrics.set_target_ttl(wanted.target_ttl);
        let budget = wanted.size_budget.map(|SizeBudget(limit)| limit);
        self.served.metrics.set_size_budget(budget);
        if wanted.limits != self.config.limits {
            self.retained = None;
        }
        self.config = wanted;
        (self.tell)("the configuration was read again");
        for key in fixed {
            (self.tell)(&format!("{key} changes when the agent is restarted"));
        }
        Ok(self.config.detail)
    }

    pub(super) fn write_tally(&mut self) {
        match self.served.metrics.counted() {
            Ok(counted) => {
                self.tally = Counting {
                    is_news: !self.writer.store_counters(counted),
                    written: Some(Instant::now()),
                };
            }
            Err(error) => {
                (self.tell)(&format!("what was counted is not written down: {error}"));
                self.tally.written = Some(Instant::now());
            }
        }
    }

    /// Who asks learns it from now on.
    fn is_ready_by(&self, verdict: &SelfTestVerdict) {
        self.served.readiness.set(match verdict {
            SelfTestVerdict::Pending => Err(
                "gotrace has not seen the program yet that it runs to see whether it sees: ask again in some seconds"
                    .to_owned(),
            ),
            SelfTestVerdict::Seen => Ok(()),
            SelfTestVerdict::Unseen(why) => Err(why.clone()),
        });
    }
}
