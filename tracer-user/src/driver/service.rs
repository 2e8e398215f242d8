//! The loop of a trace without an end: every build on the machine, for as long as gotrace runs.
//!
//! It takes the same road from an event to a build as a traced command does, but by sessions, and hands each over when it is over. What
//! becomes of it is the sink's to say; a sink must not wait.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tracer_abi::{Kind, Tally};
use tracer_core::effect::Effect;
use tracer_core::event::{Event, Ktime, Lost};
use tracer_core::model::Trace;
use tracer_core::recording::Detail;
use tracer_core::sessions::Sessions;

use super::analyst::Counts as Analyses;
use super::inspector::Depth;
use super::self_test::{SelfTest, Verdict};
use super::source::Source;
use super::world::World;
use super::{TICK, clock, wait};
use crate::launch::signal::{Received, Signals, stop};
use crate::proc;

/// How often it is looked whether a process is gone whose exit was lost.
const ROUND: Duration = Duration::from_secs(30);

/// Where builds go.
pub trait Sink {
    /// Builds that have begun, as far as they are seen.
    fn begun(&mut self, trace: &Trace);
    /// Builds that are over.
    fn ended(&mut self, trace: Trace);
    /// Told about once a second, and when the self-test has come to another verdict.
    fn state(&mut self, state: &State);
    /// The operator asks to read the configuration again. Returns how much is to be seen from now on, if that was decided.
    fn reload(&mut self) -> Option<Detail>;
}

/// How the service itself is doing.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Records seen and lost since the start, by kind.
    pub tallies: Vec<(Kind, Tally)>,
    /// Records that could not be decoded.
    pub n_unreadable: u64,
    /// Uprobes that are on.
    pub n_probes: usize,
    /// Builds under way, those outside of any `go` command included.
    pub n_sessions: usize,
    /// Sessions that were not followed because there were too many.
    pub n_refused: u64,
    /// Outputs that wait to be read.
    pub n_unread: usize,
    /// Outputs that were not read because too many waited.
    pub n_never_read: u64,
    /// How looking into outputs goes.
    pub analyses: Analyses,
    /// Whether builds would be seen.
    pub self_test: Verdict,
}

struct Service {
    source: Source,
    world: World,
    sessions: Sessions,
    self_test: SelfTest,
    /// Of each kind, as last told.
    lost: BTreeMap<Kind, u64>,
    n_unreadable: u64,
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
    let mut ticked = Instant::now();
    let mut looked = Instant::now();
    sink.state(&service.state());
    loop {
        let have_changed = wait(signals, Some((&service.source, &service.world)), TICK)?;
        if have_changed {
            service.source.release_changed();
        }
        service.turn();
        for trace in service.sessions.begun() {
            sink.begun(&trace);
        }
        // What is over is told in a moment, and has to know by then what may be missing in it.
        if service.sessions.n_running() > service.sessions.roots().count() {
            service.tell_losses();
        }
        for trace in service.sessions.ended(clock::boot()) {
            sink.ended(trace);
        }
        if ticked.elapsed() >= TICK || service.self_test.has_changed() {
            ticked = Instant::now();
            service.tell_losses();
            service
                .sessions
                .set_boot_to_wall_ns(clock::boot_to_wall_ns());
            sink.state(&service.state());
        }
        if looked.elapsed() >= ROUND {
            looked = Instant::now();
            service.miss();
        }
        while let Some(received) = signals.read()? {
            match received {
                Received::FromProcess { number, .. } | Received::FromKernel { number } => {
                    match number {
                        libc::SIGHUP => {
                            if let Some(detail) = sink.reload() {
                                service.source.set_detail(detail)?;
                            }
                        }
                        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => {
                            service.end(sink);
                            return Ok(());
                        }
                        libc::SIGTSTP => stop(Signal::TSTP),
                        _ => {}
                    }
                }
                Received::Child => {}
            }
        }
    }
}

impl Service {
    fn new(mut source: Source, own: PathBuf) -> io::Result<Self> {
        let found = source.take_found();
        let mut service = Self {
            world: World::new(Depth::Anatomy)?,
            sessions: Sessions::new(source.context()),
            self_test: SelfTest::new(own, Instant::now()),
            source,
            lost: BTreeMap::new(),
            n_unreadable: 0,
        };
        for tool in found {
            service.take(Event::Tool(tool));
        }
        Ok(service)
    }

    /// Hands over what is over. If another is about to come, all stays on for it.
    fn end(mut self, sink: &mut dyn Sink) {
        self.turn();
        if self.source.is_upgrade_announced() {
            for trace in self.sessions.ended(clock::boot()) {
                sink.ended(trace);
            }
            self.source.leave();
        } else {
            for trace in self.sessions.ended(Ktime(u64::MAX)) {
                sink.ended(trace);
            }
            self.source.end();
        }
    }

    /// Takes all that has come in.
    fn turn(&mut self) {
        for event in self.source.drain() {
            self.n_unreadable += u64::from(matches!(event, Event::Unreadable(_)));
            if !self.self_test.take(&event) {
                self.take(event);
            }
        }
        let lost = || self.source.tallies().iter().map(|(_, it)| it.lost).sum();
        self.self_test.turn(Instant::now(), lost);
        for answer in self.world.answers() {
            self.take(answer);
        }
    }

    fn take(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let ended = event.ended();
            for effect in self.sessions.apply(event) {
                events.extend(self.perform(effect));
            }
            // What was asked about it holds its root as long as it needs it; nobody asks again.
            if let Some(process) = ended {
                self.world.forget(process);
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        let identified = match &effect {
            Effect::Identify { process, .. } => Some(*process),
            Effect::ReadSettings { .. }
            | Effect::ReadResponseFile { .. }
            | Effect::ReadCheckout { .. }
            | Effect::Inspect { .. } => None,
        };
        let answer = self.world.perform(effect, &mut self.source);
        // A program that only has the name of a tool.
        if let (Some(process), None) = (identified, &answer)
            && self.sessions.is_no_tool(process)
        {
            self.source.unfollow(process.tgid);
        }
        answer
    }

    /// Sessions under way learn what may be missing in them.
    fn tell_losses(&mut self) {
        for (kind, tally) in self.source.tallies() {
            let before = self.lost.insert(kind, tally.lost).unwrap_or(0);
            if tally.lost > before {
                self.take(Event::Lost(Lost {
                    at: clock::boot(),
                    kind: kind.name().to_owned(),
                    n: tally.lost - before,
                }));
            }
        }
    }

    /// A session whose first process is gone and whose exit was lost would never end.
    fn miss(&mut self) {
        let gone: Vec<_> = self
            .sessions
            .roots()
            .filter(|root| !proc::is_there(*root))
            .collect();
        for root in gone {
            self.sessions.miss(root, clock::boot());
            self.world.forget(root);
        }
    }

    fn state(&self) -> State {
        State {
            tallies: self.source.tallies(),
            n_unreadable: self.n_unreadable,
            n_probes: self.source.n_probes(),
            n_sessions: self.sessions.n_running(),
            n_refused: self.sessions.n_refused(),
            n_unread: self.world.n_pending(),
            n_never_read: self.world.n_dropped(),
            analyses: self.world.analyses(),
            self_test: self.self_test.verdict().clone(),
        }
    }
}
