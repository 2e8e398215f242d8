//! The loop of a trace without an end: every build on the machine, for as long as gotrace runs.
//!
//! It takes the same road from an event to a build as a traced command does, but by sessions, and hands each over when it is over. What
//! becomes of it is the sink's to say; a sink must not wait.

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

/// Events that are taken before anything else has its turn.
const DRAIN_LIMIT: usize = 4096;
/// How often that is done at the end.
const FINAL_TURNS_MAX: u32 = 64;
/// How often it is looked whether a process is gone whose exit was lost. One that was gone two times in a row has had so long to be told of.
const MISSED_EXIT_INTERVAL: Duration = Duration::from_secs(10);

/// How much sooner than others the loop gets a processor, as nice(2) counts. What it uses of it is the same, only that it uses it before
/// the ring is full and before the processes are gone that it has to look at.
const NICE: i32 = -10;

/// Where builds go.
pub trait Sink {
    /// Builds that have begun, as far as they are seen.
    fn begun(&mut self, trace: &Trace);
    /// Builds that are over.
    fn ended(&mut self, trace: Trace);
    /// The same of builds that another has followed, too: that one may have been told already that they are over.
    /// Where nobody can tell, they are taken as if they were not.
    fn ended_resumed(&mut self, trace: Trace) {
        self.ended(trace);
    }
    /// Whether builds of that process are over and would be gone if the sink were killed now.
    fn is_unstored(&self, process: ProcKey) -> bool;
    /// Called about once a second, and when the self-test has come to another verdict.
    fn status(&mut self, status: ObserverStatus);
    /// The operator asks to read the configuration again.
    fn reload(&mut self);
    /// How much is to be seen from now on, if that was decided since it was last asked.
    fn detail(&mut self) -> Option<Detail>;
}

struct Service {
    pipeline: Pipeline<Sessions, Journal>,
    self_test: SelfTest,
    /// Of each kind, as last told.
    lost: BTreeMap<u16, u64>,
    n_unreadable: u64,
    resumed: Resumed,
    /// First processes of sessions that were gone when it was last looked.
    gone: BTreeSet<ProcKey>,
    delay: Delay,
}

/// What another has followed before.
#[derive(Default)]
struct Resumed {
    /// First processes of its sessions.
    roots: BTreeSet<ProcKey>,
    /// What is over of it.
    ended: Vec<Trace>,
    /// The last of each session that it wrote down: one of them may still be in the ring, where it is the first then.
    last: Vec<Event>,
}

/// Hands over every build until a signal ends it. Builds that are under way then are not handed over; those that are over and only
/// wait for their outputs to be read are, as they stand. `own` is a directory for the self-test alone.
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
        // What is over is told in a moment, and has to know by then what may be missing in it.
        if service.pipeline.core.n_running() > service.pipeline.core.roots().count() {
            service.report_losses();
        }
        service.hand_over(clock::boot(), sink);
        if let Some(detail) = sink.detail() {
            service.pipeline.source.set_detail(detail)?;
        }
        if ticked.elapsed() >= TICK || service.self_test.has_changed() {
            ticked = Instant::now();
            service.report_losses();
            let Pipeline { core, log, .. } = &mut service.pipeline;
            if let Some(journal) = log {
                journal.tidy(core, ticked, |it| sink.is_unstored(it));
            }
            core.set_boot_to_wall_ns(clock::boot_to_wall_ns());
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

/// This thread alone, and what it starts later: `setpriority` of Linux takes threads for processes.
fn raise_priority() {
    // An operator who chose another has a reason.
    if rustix::process::getpriority_process(None) == Ok(0) {
        // Not allowed: then its turn comes as everybody's does.
        let _as_others = rustix::process::setpriority_process(None, NICE);
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

    /// Hands over what is over. If another is about to come, all stays on for it.
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

    /// Hands over what is over by `now`.
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

    /// Goes on with what another wrote down, as if it had been seen here.
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
            // The name of a build depends on it.
            let then = session.header().boot_to_wall_ns;
            self.pipeline.core.set_boot_to_wall_ns(then);
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
            // What was not answered before is asked again.
            for effect in asked {
                if let Some(event) = self.pipeline.perform(effect) {
                    self.pipeline.take(event);
                }
            }
            let ended = self.pipeline.core.ended(clock::boot());
            self.resumed.ended.extend(ended);
        }
        self.pipeline.core.set_boot_to_wall_ns(boot_to_wall_ns);
    }

    /// Takes what has come in, but no more than that others have their turn; whether there may be more.
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

    /// Sessions under way learn what may be missing in them.
    fn report_losses(&mut self) {
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
    }

    /// A session whose first process is gone and whose exit was lost would never end.
    ///
    /// A process tells of its exit before it is gone (`do_exit` of `kernel/exit.c`: the tracepoint comes before `exit_notify`), so at the
    /// second look that is taken, if it was told: in between the ring was emptied. On a busy machine we come to it late.
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
