//! The loop of a live trace: poll, record, apply, tell. It knows nothing of Go and decides nothing about builds.
//!
//! One thread waits for the ring, for signals and for answers of the reading thread, so nothing that is shown is older than the
//! last wake-up and no lock is needed. Replay (`replay`) takes the same road from an event to the trace.

mod delay;
mod effects;
mod fair_queue;
mod handover;
mod journal;
mod loaded;
mod output_analysis;
mod output_reader;
mod pipeline;
mod programs;
mod readers;
mod recorder;
mod replay;
mod roots;
mod self_test;
pub mod service;
mod source;
mod status;
mod texts;

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use tracer_core::correlate::Correlator;
use tracer_core::event::{Event, Status, Tgid};
use tracer_core::model::Trace;

use self::effects::EffectRunner;
pub use self::output_analysis::AnalysisCounts as Analyses;
use self::output_reader::Depth;
use self::pipeline::Pipeline;
pub use self::recorder::{Recorder, header as recording_header};
pub use self::replay::{Replayed, replay};
pub use self::self_test::{Verdict as SelfTestVerdict, WORD as SELF_TEST_WORD};
pub(crate) use self::source::host;
pub use self::source::{Pin, Source, SourceOptions, Whose};
pub use self::status::{Events, ObserverStatus};
use crate::clock;
use crate::launch::signal::{Received, Signals, stop};
use crate::launch::{Change, Running};
pub use crate::proc::page_size;
use crate::render::Cost;

/// How long processes that outlive the command are still followed.
const SURVIVOR_LIMIT: Duration = Duration::from_millis(500);
/// How long the last times of processes are waited for, which the kernel has after the parent has waited for them.
const REAP_LIMIT: Duration = Duration::from_millis(100);
/// How often they are looked for: nobody wakes the reader for them.
const REAP_POLL: Duration = Duration::from_millis(10);
/// How long outputs are still read after the command has ended.
const READ_LIMIT: Duration = Duration::from_mins(2);
/// How often probed files are looked after.
const TICK: Duration = Duration::from_secs(1);
/// How long after a report that the command stopped it is looked at again: a SIGSTOP for the whole group stops us too, and on
/// return the report is stale.
const STOP_RECHECK: Duration = Duration::from_millis(50);

/// What a finished live trace amounts to.
#[derive(Debug)]
pub struct TraceOutcome {
    pub status: Status,
    /// `None`: it was not traced.
    pub traced: Option<Traced>,
}

/// The traced part of it.
#[derive(Debug)]
pub struct Traced {
    pub trace: Trace,
    pub cost: Cost,
    /// Processes of the command that were still running when following ended.
    pub n_running: usize,
    /// What was to be read and was not in time.
    pub n_unread: usize,
}

/// A live trace.
struct Live<'a> {
    pipeline: Pipeline<Correlator, &'a mut Recorder>,
    n_events: u64,
}

/// Follows the command to its end, passing on signals meant for it; `source` is `None` where nothing can be traced.
pub fn watch(
    running: &Running,
    signals: &mut Signals,
    source: Option<Source>,
    recorder: Option<&mut Recorder>,
) -> io::Result<TraceOutcome> {
    let mut live = source
        .map(|source| Live::new(source, recorder))
        .transpose()?;
    let mut command = Command {
        running,
        status: None,
        is_given_up: false,
        recheck_stop: None,
    };
    let mut ended: Option<Instant> = None;
    loop {
        let timeout = match (command.recheck_stop, ended) {
            (Some(_), _) => STOP_RECHECK,
            (None, Some(since)) if since.elapsed() <= REAP_LIMIT => REAP_POLL,
            (None, _) => TICK,
        };
        let pipeline = live.as_ref().map(|it| &it.pipeline);
        let seen = pipeline.map(|it| (&it.source, &it.effects));
        let have_changed = wait(signals, seen, timeout)?;
        // First the signals: what the command did before it ended is in the ring by the time its end is known.
        command.handle_signals(signals, live.as_mut().map(|it| &mut it.pipeline.source))?;
        if let Some(live) = &mut live {
            if have_changed {
                live.pipeline.source.release_changed();
            }
            live.turn();
        }
        if let Some(status) = command.status {
            let since = ended.get_or_insert_with(Instant::now).elapsed();
            if live.as_ref().is_none_or(|live| live.is_over(since)) || command.is_given_up {
                return Ok(TraceOutcome {
                    status,
                    traced: live.map(Live::finish),
                });
            }
        }
    }
}

/// Waits until there is something to do. Says whether probed files have changed, or may have.
fn wait(
    signals: &Signals,
    seen: Option<(&Source, &EffectRunner)>,
    timeout: Duration,
) -> io::Result<bool> {
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
    if let Some((source, effects)) = seen {
        fds.push(PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN));
        fds.push(PollFd::from_borrowed_fd(effects.as_fd(), PollFlags::IN));
        fds.extend(
            source
                .changes()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
    }
    match poll(&mut fds, Some(&timeout)) {
        // Where changes cannot be watched for, they are looked for whenever nothing else happens.
        Ok(0) => Ok(true),
        Ok(_) => Ok(fds
            .get(3)
            .is_some_and(|changes| !changes.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl<'a> Live<'a> {
    fn new(source: Source, recorder: Option<&'a mut Recorder>) -> io::Result<Self> {
        let correlator = Correlator::new(source.context());
        // Whoever waits for a command does not wait for numbers that `gotrace analyze` has as well.
        let pipeline = Pipeline::new(source, Depth::Identity, correlator, recorder)?;
        Ok(Self {
            pipeline,
            n_events: 0,
        })
    }

    /// Takes all that has come in.
    fn turn(&mut self) {
        let Self { pipeline, n_events } = self;
        pipeline.drain(usize::MAX, |_| true, |_| *n_events += 1);
        pipeline.answer();
    }

    fn is_over(&self, since_end: Duration) -> bool {
        let Pipeline { core, effects, .. } = &self.pipeline;
        let all_exited = since_end > SURVIVOR_LIMIT || core.n_running() == 0;
        let all_read = since_end > READ_LIMIT || effects.n_pending() == 0;
        let all_reaped = since_end > REAP_LIMIT || core.n_unreaped() == 0;
        all_exited && all_reaped && all_read
    }

    fn finish(mut self) -> Traced {
        self.turn();
        for lost in self.pipeline.source.lost() {
            self.pipeline.take(Event::Lost(lost));
        }
        let Self { pipeline, n_events } = self;
        let Pipeline {
            source,
            effects,
            core: correlator,
            log: _,
        } = pipeline;
        let cost = Cost {
            gotrace_cpu_ns: clock::own_cpu_ns() + effects.analyses().cpu_ns,
            events: n_events,
            attach_ns: source.attach_ns(),
        };
        let n_running = correlator.n_running();
        Traced {
            trace: correlator.finish(),
            cost,
            n_running,
            n_unread: effects.n_pending(),
        }
    }
}

/// The command, and what signals mean for it.
struct Command<'a> {
    running: &'a Running,
    status: Option<Status>,
    /// The user does not want to wait for the rest.
    is_given_up: bool,
    /// It was reported to be stopped by this signal.
    recheck_stop: Option<i32>,
}

impl Command<'_> {
    fn handle_signals(
        &mut self,
        signals: &mut Signals,
        source: Option<&mut Source>,
    ) -> io::Result<()> {
        if let Some(signal) = self.recheck_stop.take()
            && self.running.is_stopped()
        {
            self.stop_too(signal, source);
        }
        while let Some(received) = signals.read()? {
            match received {
                Received::Child => {}
                Received::FromKernel { .. } => self.is_given_up |= self.status.is_some(),
                Received::FromProcess { number, sender } => self.pass_on(number, sender),
            }
        }
        while self.status.is_none()
            && let Some(change) = self.running.change()?
        {
            match change {
                Change::Ended(status) => self.status = Some(status),
                Change::Stopped(signal) => self.recheck_stop = Some(signal),
            }
        }
        Ok(())
    }

    /// A signal that was sent to us alone is meant for the command; one that the command itself sent to its whole group is not.
    fn pass_on(&mut self, number: i32, sender: u32) {
        if self.status.is_some() {
            self.is_given_up = true;
        } else if !self.running.is_or_made(Tgid(sender))
            && let Some(signal) = Signal::from_named_raw(number)
        {
            self.running.kill(signal);
        }
    }

    /// The command has stopped itself: so do we, and whoever continues us continues it. Otherwise a shell would wait for us for
    /// ever, as if the command were still at work.
    fn stop_too(&self, signal: i32, source: Option<&mut Source>) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            match source {
                Some(source) => source.stop(signal),
                None => stop(signal),
            }
            self.running.kill(Signal::CONT);
        }
    }
}
