//! The loop of the service: traces every build on the machine for as long as gotrace runs.
//!
//! Events take the same path as those of a traced command, but each session has its own correlator. The loop passes each
//! ended session to a sink, which must not wait.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tracer_core::effect::Effect;
use tracer_core::event::{Event, Ktime, Lost, ProcKey};
use tracer_core::model::Trace;
use tracer_core::recording::Detail;
use tracer_core::sessions::Sessions;

use super::delay::Delay;
use super::journal::{Journal, is_of_kernel};
use super::output_reader::Depth;
use super::pipeline::Pipeline;
use super::self_test::SelfTest;
use super::source::Source;
use super::status::{Events, ObserverStatus};
use super::{REAP_POLL, TICK, wait};
use crate::clock;
use crate::launch::signal::{Received, Signals};
use crate::proc;

/// Events per turn of the loop.
const DRAIN_LIMIT: usize = 4096;
/// Number of turns at the end.
const FINAL_TURNS_MAX: u32 = 64;
/// Interval of the search for processes that have ended and whose exit record was lost. A process must be gone in two
/// searches in a row.
const MISSED_EXIT_INTERVAL: Duration = Duration::from_secs(10);

/// Priority of the loop, as in nice(2). The loop uses the same CPU time, but before the ring is full and before the
/// processes that it must inspect have ended.
const NICE: i32 = -10;

/// The receiver of builds.
pub trait Sink {
    /// Builds that have begun, with the facts so far.
    fn begun(&mut self, trace: &Trace);
    /// Builds that have ended.
    fn ended(&mut self, trace: Trace);
    /// Ended builds that a previous agent also traced, and may have reported. By default they count as unreported.
    fn ended_resumed(&mut self, trace: Trace) {
        self.ended(trace);
    }
    /// True if builds of this process have ended and would be lost if the sink were killed now.
    fn is_unstored(&self, process: ProcKey) -> bool;
    /// Called about once a second, and when the result of the self-test changes.
    fn status(&mut self, status: ObserverStatus);
    /// The operator requests a reload of the configuration.
    fn reload(&mut self);
    /// A limitation of tracing that has begun or ended, in one sentence.
    fn note(&mut self, note: &str);
    /// The new level of detail, if it was changed since the last call.
    fn detail(&mut self) -> Option<Detail>;
}

struct Service {
    pipeline: Pipeline<Sessions, Journal>,
    self_test: SelfTest,
    /// Lost records of each kind, as last reported.
    lost: BTreeMap<u16, u64>,
    n_unreadable: u64,
    resumed: Resumed,
    /// First processes of sessions that were gone in the last search.
    gone: BTreeSet<ProcKey>,
    delay: Delay,
}

/// The sessions that a previous agent left.
#[derive(Default)]
struct Resumed {
    /// First processes of these sessions.
    roots: BTreeSet<ProcKey>,
    /// The sessions that have already ended.
    ended: Vec<Trace>,
    /// The last journalled event of each session. One of them may still be the first record of the ring.
    last: Vec<Event>,
}

/// Passes every build to the sink until a signal ends the loop. Running builds are then not passed on. Ended builds that
/// still wait for their outputs are passed on as they are. `own` is a directory that only the self-test uses.
pub fn serve(
    source: Source,
    own: PathBuf,
    signals: &mut Signals,
    sink: &mut dyn Sink,
) -> io::Result<()> {
    let mut service = Service::new(source, own)?;
    raise_priority();
    let mut ticked = Instant::now();
    let mut looked = Instant::now();
    sink.status(service.status());
    loop {
        let timeout = if service.pipeline.core.is_reaping(clock::boot()) {
            REAP_POLL
        } else {
            TICK
        };
        let have_changed = wait(
            signals,
            Some((&service.pipeline.source, &service.pipeline.effects)),
            timeout,
        )?;
        if have_changed {
            service.pipeline.source.release_changed();
        }
        let is_behind = service.turn();
        for trace in service.pipeline.core.begun() {
            sink.begun(&trace);
        }
        let now = clock::boot();
        // The losses of a session must be reported before it ends. So must the agent's counters, or they would be less than the losses
        // of its builds.
        if service.pipeline.core.has_ended(now) && service.report_losses() {
            sink.status(service.status());
        }
        service.hand_over(now, sink);
        if let Some(detail) = sink.detail() {
            for tool in service.pipeline.source.set_detail(detail)? {
                service.pipeline.take(Event::Tool(tool));
            }
            let phases = service.pipeline.source.context().phases;
            service.pipeline.core.set_phases(phases);
        }
        if ticked.elapsed() >= TICK || service.self_test.has_changed() {
            ticked = Instant::now();
            service.report_losses();
            let Pipeline { core, log, .. } = &mut service.pipeline;
            if let Some(journal) = log {
                journal.tidy(core, ticked, |it| sink.is_unstored(it));
            }
            core.set_boot_to_wall_ns(clock::boot_to_wall_ns());
            let n_sessions = core.n_running();
            if let Some(note) = service.pipeline.source.rest(n_sessions) {
                sink.note(&note);
            }
            sink.status(service.status());
        }
        if looked.elapsed() >= MISSED_EXIT_INTERVAL && !is_behind {
            looked = Instant::now();
            service.end_missed_exits();
        }
        while let Some(received) = signals.read()? {
            match received {
                Received::FromProcess { number, .. } | Received::FromKernel { number } => {
                    match number {
                        libc::SIGHUP => sink.reload(),
                        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => {
                            service.end(sink);
                            return Ok(());
                        }
                        libc::SIGTSTP => service.pipeline.source.stop(Signal::TSTP),
                        _ => {}
                    }
                }
                Received::Child => {}
            }
        }
    }
}

/// Applies to this thread and to those that it starts later: `setpriority` of Linux applies to single threads.
fn raise_priority() {
    // A priority that the operator chose is kept.
    if rustix::process::getpriority_process(None) == Ok(0) {
        // Without the permission, the loop keeps the normal priority.
        let _normal = rustix::process::setpriority_process(None, NICE);
    }
}

impl Service {
    fn new(source: Source, own: PathBuf) -> io::Result<Self> {
        let (lost, journal) = (source.reported_losses(), source.journal());
        let sessions = Sessions::new(source.context());
        let mut service = Self {
            pipeline: Pipeline::new(source, Depth::Anatomy, sessions, journal)?,
            self_test: SelfTest::new(own, Instant::now()),
            lost,
            n_unreadable: 0,
            resumed: Resumed::default(),
            gone: BTreeSet::new(),
            delay: Delay::new(Instant::now()),
        };
        service.resume();
        Ok(service)
    }

    /// Passes on the ended builds. Before an announced upgrade, the pinned programs stay attached for the next agent.
    fn end(mut self, sink: &mut dyn Sink) {
        for _ in 0..FINAL_TURNS_MAX {
            if !self.turn() {
                break;
            }
        }
        if self.pipeline.source.is_upgrade_announced() {
            self.hand_over(clock::boot(), sink);
            self.pipeline.source.leave();
        } else {
            self.hand_over(Ktime(u64::MAX), sink);
            self.pipeline.source.end();
        }
    }

    /// Passes on the sessions that have ended by `now`.
    fn hand_over(&mut self, now: Ktime, sink: &mut dyn Sink) {
        for trace in mem::take(&mut self.resumed.ended) {
            sink.ended_resumed(trace);
        }
        for trace in self.pipeline.core.ended(now) {
            let roots = &self.resumed.roots;
            if trace.builds.iter().any(|it| roots.contains(&it.process)) {
                sink.ended_resumed(trace);
            } else {
                sink.ended(trace);
            }
        }
    }

    /// Applies the journal of a previous agent, as if this agent had received its events.
    fn resume(&mut self) {
        let Some(past) = self.pipeline.log.as_ref().map(Journal::past) else {
            return;
        };
        let boot_to_wall_ns = self.pipeline.core.context().boot_to_wall_ns;
        for root in past {
            let resumed = self.pipeline.log.as_mut().and_then(|it| it.resume(root));
            let Some(session) = resumed else {
                continue;
            };
            // The ID of a build depends on this offset.
            let then = session.header().boot_to_wall_ns;
            self.pipeline.core.set_boot_to_wall_ns(then);
            let renames = session.header().renames;
            self.pipeline.core.set_renames(renames);
            self.resumed.roots.insert(root);
            let mut last = None;
            let mut asked: Vec<Effect> = Vec::new();
            for event in session {
                if let Some(i) = asked.iter().position(|it| it.is_answered_by(&event)) {
                    asked.remove(i);
                }
                if is_of_kernel(&event) {
                    last = Some(event.clone());
                }
                asked.extend(self.pipeline.core.apply(event));
            }
            self.resumed.last.extend(last);
            // Effects without an answer are performed again.
            for effect in asked {
                if let Some(event) = self.pipeline.perform(effect) {
                    self.pipeline.take(event);
                }
            }
            let ended = self.pipeline.core.ended(clock::boot());
            self.resumed.ended.extend(ended);
        }
        self.pipeline.core.set_boot_to_wall_ns(boot_to_wall_ns);
        let renames = self.pipeline.source.has_all_renames();
        self.pipeline.core.set_renames(renames);
    }

    /// Processes a bounded number of events. Returns true if there may be more.
    fn turn(&mut self) -> bool {
        let Self {
            pipeline,
            self_test,
            resumed,
            delay,
            n_unreadable,
            ..
        } = self;
        let is_news = |event: &Event| {
            let known = mem::take(&mut resumed.last);
            !self_test.take(event) && !known.contains(event)
        };
        let is_behind = pipeline.drain(DRAIN_LIMIT, is_news, |event| {
            delay.take(event, clock::boot());
            *n_unreadable += u64::from(matches!(event, Event::Unreadable(_)));
        });
        let lost = || {
            pipeline
                .source
                .tallies()
                .iter()
                .map(|(_, it)| it.lost)
                .sum()
        };
        self_test.turn(Instant::now(), lost);
        pipeline.answer();
        is_behind
    }

    /// Reports new losses to the running sessions. Returns true if there are any.
    fn report_losses(&mut self) -> bool {
        let mut is_news = false;
        for (kind, tally) in self.pipeline.source.tallies() {
            let before = self.lost.insert(kind.0, tally.lost).unwrap_or(0);
            if tally.lost > before {
                is_news = true;
                self.pipeline.take(Event::Lost(Lost {
                    at: clock::boot(),
                    kind: kind.name().to_owned(),
                    n: tally.lost - before,
                }));
            }
        }
        if is_news {
            self.pipeline.source.save_reported_losses(&self.lost);
        }
        is_news
    }

    /// Ends sessions whose first process has ended without an exit record. They would otherwise never end.
    ///
    /// The exit record is written before the process is gone (`do_exit` of `kernel/exit.c`: the tracepoint comes before
    /// `exit_notify`). Between two searches the ring is emptied, so at the second one an existing record was applied.
    /// On a busy machine, the loop reaches the record late.
    fn end_missed_exits(&mut self) {
        let gone: BTreeSet<ProcKey> = self
            .pipeline
            .core
            .roots()
            .filter(|root| !proc::is_there(*root))
            .collect();
        for root in gone.intersection(&self.gone) {
            self.pipeline.core.mark_exit_missed(*root, clock::boot());
            self.pipeline.effects.forget(*root);
        }
        self.gone = gone;
    }

    fn status(&mut self) -> ObserverStatus {
        let tallies = self.pipeline.source.tallies().into_iter();
        let events = tallies.map(|(kind, it)| Events {
            kind: kind.0,
            seen: it.seen,
            lost: it.lost,
        });
        ObserverStatus {
            events: events.collect(),
            n_unreadable: self.n_unreadable,
            loop_cpu: self.pipeline.cpu,
            n_probes: self.pipeline.source.n_probes(),
            n_sessions: self.pipeline.core.n_running(),
            n_refused: self.pipeline.core.n_refused(),
            n_unread: self.pipeline.effects.n_pending(),
            n_never_read: self.pipeline.effects.n_dropped(),
            analyses: self.pipeline.effects.analyses(),
            self_test: self.self_test.verdict().clone(),
            delay_ns: self.delay.longest_ns(Instant::now()),
            ..ObserverStatus::default()
        }
    }
}
