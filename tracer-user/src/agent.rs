//! The agent: every build on the machine, counted, kept in the history, and served.
//!
//! The loop is the driver's (`driver::service`); here is what becomes of a build. Nothing in this module waits for a disk or a network:
//! the history has a queue and a thread, and so has the server.

mod begin;
mod config;
pub mod export;
pub mod http;
pub mod metrics;
mod notify;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracer_core::event::ProcKey;
use tracer_core::history::{self, Kept};
use tracer_core::model::{Build, Trace};
use tracer_core::recording::Detail;

use self::begin::{beside, forward, listen, lock, restore, surroundings};
pub use self::config::{Central, Config};
use self::export::Counts;
use self::export::outputs::Outputs;
use self::http::{Readiness, Served, Server};
use self::metrics::{Metrics, Queue, Reload, SelfStats};
use crate::config::SizeBudget;
use crate::driver::service::{self, Sink, State};
use crate::driver::{Pin, SelfTestVerdict, Source, Wanted, Whose, own_cpu_ns};
use crate::history::{Delivered, Error, Forwarder, Place, Store, Writer};
use crate::launch::signal::Signals;
use crate::proc;
use crate::toolchain::SearchHint;

/// Builds that wait to be stored at most.
const QUEUE: usize = 1024;
/// How long the history has to write what is queued when the agent ends.
const FLUSH: Duration = Duration::from_secs(2);
/// And all else, counted from the same moment: whoever asked for the end waits five seconds.
const END: Duration = Duration::from_millis(4500);
/// How often what is too old or too much is thrown away.
const RETENTION: Duration = Duration::from_mins(10);
/// How often what was counted is written down. Builds that are stored meanwhile are counted again from the history after a kill.
const TALLY: Duration = Duration::from_secs(10);
/// How long nothing was built before memory is given back.
const REST: Duration = Duration::from_secs(10);

/// Follows every build until a signal ends it. `load` reads the configuration, now and whenever it may have changed; `tell` is given
/// sentences for the operator.
pub fn run(load: &dyn Fn() -> anyhow::Result<Config>, tell: fn(&str)) -> anyhow::Result<()> {
    let config = load()?;
    let mut signals = Signals::take()?;
    // Made first, so that there is a directory for the lock.
    drop(Store::open(&config.store)?);
    let _alone = lock(&config.store)?;
    let (writer, n_cut_off) = Writer::start(&config.store, QUEUE, move |error| {
        tell(error);
    })?;
    if n_cut_off > 0 {
        tell(&format!(
            "{n_cut_off} builds were under way when gotrace last ended: marked cut off"
        ));
    }
    let metrics = Arc::new(Metrics::new(config.target_ttl)?);
    metrics.set_size_budget(config.size_budget.map(|SizeBudget(limit)| limit));
    restore(&metrics, &config.store, tell)?;
    let served = Arc::new(Served {
        metrics: Arc::clone(&metrics),
        // Of this machine, also where there is a central one: whoever builds here can ask here, and a fleet's is not theirs to read.
        store: Place::File(config.store.clone()),
        readiness: Readiness::not_yet("the kernel programs are being loaded"),
    });
    let outputs = Outputs::start(&config.outputs, &surroundings(&config, &metrics, tell))?;
    let pages = config
        .listen
        .map(|address| listen(address, &served))
        .transpose()?;
    let source = Source::start(Wanted {
        command: Vec::new(),
        detail: config.detail,
        hint: SearchHint {
            path: std::env::var_os("PATH"),
            home: std::env::var_os("HOME").map(PathBuf::from),
            ..SearchHint::default()
        },
        whose: Whose::Everybody,
        pin: config.pin.clone().map(|place| Pin {
            place,
            own: beside(&config.store, "-under-way"),
        }),
    })?;
    if source.is_adopted() {
        tell("going on with what the agent before left on");
    }
    for note in source.notes() {
        tell(note);
    }
    let forwarder = config.central.as_ref().map(|it| forward(it, &config, tell));
    let forwarder = forwarder.transpose()?;
    tell(&format!(
        "following every Go build on this machine: {} probes on, history in {}{}{}",
        source.n_probes(),
        config.store.display(),
        config
            .central
            .as_ref()
            .map_or_else(String::new, |it| format!(
                " and from there in {}",
                it.address
            )),
        pages.as_ref().map_or_else(String::new, |it| format!(
            ", metrics at http://{}/metrics",
            it.address()
        )),
    ));
    let mut agent = Agent {
        config,
        load,
        reload: Reload::now(),
        writer,
        forwarder,
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
        self_test: SelfTestVerdict::Pending,
        tell,
    };
    agent.is_ready_by(&SelfTestVerdict::Pending);
    let own = beside(&agent.config.store, "-self-test");
    service::serve(source, own, &mut signals, &mut agent)?;
    agent.finish()
}

struct Agent<'a> {
    config: Config,
    load: &'a dyn Fn() -> anyhow::Result<Config>,
    reload: Reload,
    writer: Writer,
    forwarder: Option<Forwarder>,
    served: Arc<Served>,
    pages: Option<Server>,
    outputs: Outputs,
    retained: Option<Instant>,
    tally: Counting,
    /// When something was last under way, if memory was not given back since.
    busy: Option<Instant>,
    /// As last told.
    self_test: SelfTestVerdict,
    tell: fn(&str),
}

/// What was counted, and is to be written down.
struct Counting {
    /// Since the last time.
    is_news: bool,
    written: Option<Instant>,
}

impl Sink for Agent<'_> {
    fn begun(&mut self, trace: &Trace) {
        for build in worth_keeping(trace) {
            self.writer.begin(build.entry);
        }
    }

    fn ended(&mut self, trace: Trace) {
        let traces = self.outputs.traces(&trace);
        let trace_id = |build: &Build| traces.get(&build.process).copied();
        if let Err(error) = self.served.metrics.observe(&trace, &trace_id) {
            (self.tell)(&format!("a build was not counted: {error}"));
        }
        self.tally.is_news = true;
        self.outputs.ended(&trace);
        for build in worth_keeping(&trace) {
            self.writer.finish(build);
        }
    }

    fn ended_again(&mut self, mut trace: Trace) {
        let stored = self.stored(&trace);
        trace.builds.retain(|it| !stored.contains(&it.process));
        if !trace.builds.is_empty() {
            self.ended(trace);
        }
    }

    fn state(&mut self, state: &State) {
        if state.self_test != self.self_test {
            self.is_ready_by(&state.self_test);
        }
        if let Err(error) = self.served.metrics.set_self(&self.stats(state)) {
            (self.tell)(&format!("gotrace's own metrics are stale: {error}"));
        }
        if state.n_sessions > 0 {
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
                self.writer.retain(self.config.limits, now_ns());
                true
            };
            self.retained = is_heard.then(Instant::now);
        }
    }

    fn reload(&mut self) -> Option<Detail> {
        let taken = (self.load)().and_then(|wanted| self.take_over(wanted));
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
}

impl Agent<'_> {
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

    /// Those of its builds that are in the history, whole: these were counted, too.
    fn stored(&self, trace: &Trace) -> BTreeSet<ProcKey> {
        let look = || {
            let mut store = Store::open(&self.config.store)?;
            let all = history::builds(trace).zip(&trace.builds);
            let mut stored = BTreeSet::new();
            for (kept, build) in all {
                if store.is_stored(&kept.entry.id)? {
                    stored.insert(build.process);
                }
            }
            Ok(stored)
        };
        look().unwrap_or_else(|error: Error| {
            (self.tell)(&format!("builds may be counted twice: {error}"));
            BTreeSet::new()
        })
    }

    fn write_tally(&mut self) {
        match self.served.metrics.counted() {
            Ok(counted) => {
                self.tally = Counting {
                    is_news: !self.writer.tally(counted),
                    written: Some(Instant::now()),
                };
            }
            Err(error) => {
                (self.tell)(&format!("what was counted is not written down: {error}"));
                self.tally.written = Some(Instant::now());
            }
        }
    }

    /// Who asks learns it from now on; the operator, if it is news.
    fn is_ready_by(&mut self, verdict: &SelfTestVerdict) {
        let ready = match verdict {
            SelfTestVerdict::Pending => Err(
                "gotrace has not seen the program yet that it runs to see whether it sees: ask again in some seconds"
                    .to_owned(),
            ),
            SelfTestVerdict::Seen => {
                if matches!(self.self_test, SelfTestVerdict::Unseen(_)) {
                    (self.tell)("ready: what gotrace runs itself is seen again");
                }
                if let Err(error) = notify::notify(notify::READY) {
                    (self.tell)(&format!(
                        "the service manager cannot be told that gotrace is ready: {error}"
                    ));
                }
                Ok(())
            }
            SelfTestVerdict::Unseen(why) => {
                (self.tell)(&format!("not ready: {why}"));
                Err(why.clone())
            }
        };
        self.served.readiness.set(ready);
        self.self_test = verdict.clone();
    }

    fn stats(&self, state: &State) -> SelfStats {
        let kind = |(kind, tally): &(tracer_abi::Kind, tracer_abi::Tally)| metrics::Kind {
            name: kind.name(),
            seen: tally.seen,
            lost: tally.lost,
        };
        let counts = self.writer.counts();
        let length = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let central = self.forwarder.as_ref().map(|it| ("central", central(it)));
        SelfStats {
            events: state.tallies.iter().map(kind).collect(),
            n_unreadable: state.n_unreadable,
            n_probes: state.n_probes,
            n_running: state.n_sessions,
            analyses: state.analyses,
            queues: vec![
                Queue {
                    name: "outputs",
                    length: state.n_unread,
                    dropped: state.n_never_read,
                },
                Queue {
                    name: "analysis",
                    length: length(state.analyses.waiting),
                    dropped: state.analyses.dropped,
                },
                Queue {
                    name: "history",
                    length: length(counts.waiting),
                    dropped: counts.dropped + counts.failed,
                },
                Queue {
                    name: "sessions",
                    length: state.n_sessions,
                    dropped: state.n_refused,
                },
            ],
            cpu_seconds: Duration::from_nanos(own_cpu_ns() + state.analyses.cpu_ns).as_secs_f64(),
            resident_bytes: proc::own_resident_bytes(),
            sees_itself: state.self_test == SelfTestVerdict::Seen,
            exports: self.outputs.counts().into_iter().chain(central).collect(),
            reload: self.reload,
        }
    }

    /// Writes what is queued. Builds that go on without being followed are marked.
    fn finish(mut self) -> anyhow::Result<()> {
        if self.tally.is_news {
            self.write_tally();
        }
        let Self {
            config,
            load: _,
            reload: _,
            writer,
            forwarder,
            served: _,
            pages,
            outputs,
            retained: _,
            tally: _,
            busy: _,
            self_test: _,
            tell,
        } = self;
        let deadline = Instant::now() + END;
        // Whoever waits for us to end sees us gone soon anyway.
        let _untold = notify::notify(notify::STOPPING);
        outputs.ask_to_end(deadline);
        thread::scope(|scope| {
            // Whoever is being answered may take a while.
            scope.spawn(move || drop(pages));
            let is_written = writer.flush(FLUSH);
            let counts = writer.counts();
            let n_unwritten = if is_written { 0 } else { counts.waiting };
            let n_cut_off = if is_written {
                drop(writer);
                Store::open(&config.store)?.recover()?
            } else {
                tell(
                    "the history could not be written in time; what is under way is marked when gotrace runs again",
                );
                writer.abandon();
                0
            };
            if let Some(forwarder) = forwarder {
                let delivered = forwarder.finish(deadline);
                if delivered.waiting > 0 {
                    tell(&format!(
                        "{} builds wait to be delivered when gotrace runs again",
                        delivered.waiting
                    ));
                }
            }
            for (name, counts) in outputs.finish(deadline) {
                let n_given_up = counts.failed + counts.dropped;
                if n_given_up + counts.waiting > 0 {
                    tell(&format!(
                        "{name}: {} delivered, {n_given_up} given up, {} not delivered yet",
                        counts.sent, counts.waiting
                    ));
                }
            }
            tell(&format!(
                "ended: {} builds stored, {} under way marked cut off, {} dropped",
                counts.stored,
                n_cut_off,
                counts.dropped + counts.failed + n_unwritten
            ));
            Ok(())
        })
    }
}

/// The central history among the outputs.
fn central(forwarder: &Forwarder) -> Counts {
    let Delivered {
        sent,
        failed: _,
        refused,
        forgone,
        waiting,
    } = forwarder.counts();
    Counts {
        sent,
        failed: refused,
        dropped: forgone.builds + forgone.details,
        waiting,
    }
}

fn worth_keeping(trace: &Trace) -> impl Iterator<Item = Kept> {
    let all = history::builds(trace).zip(&trace.builds);
    all.filter(|(_, build)| history::is_worth_keeping(build))
        .map(|(kept, _)| kept)
}

/// Nanoseconds since 1970.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |it| i64::try_from(it.as_nanos()).unwrap_or(i64::MAX))
}
