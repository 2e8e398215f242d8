//! The agent: every build on the machine, kept in the history.
//!
//! The loop is the driver's (`driver::service`); here is what becomes of a build. Nothing in this module waits for a disk or a network:
//! the history has a queue and a thread.

pub mod http;
pub mod metrics;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracer_core::history::{self, Kept, Limits};
use tracer_core::model::Trace;
use tracer_core::recording::Detail;

use crate::driver::service::{self, Sink, State};
use crate::driver::{Source, Wanted, Whose};
use crate::history::{Store, Writer};
use crate::launch::signal::Signals;
use crate::toolchain::SearchHint;

/// Builds that wait to be stored at most.
const QUEUE: usize = 1024;
/// How long the history has to write what is queued when the agent ends.
const FLUSH: Duration = Duration::from_secs(4);
/// How often what is too old or too much is thrown away.
const RETENTION: Duration = Duration::from_mins(10);

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    pub store: PathBuf,
    pub detail: Detail,
    pub limits: Limits,
}

/// Follows every build until a signal ends it. `tell` is given sentences for the operator.
pub fn run(config: &Config, tell: fn(&str)) -> anyhow::Result<()> {
    let mut signals = Signals::take()?;
    let (writer, n_cut_off) = Writer::start(&config.store, QUEUE, move |error| {
        tell(&error.to_string());
    })?;
    if n_cut_off > 0 {
        tell(&format!(
            "{n_cut_off} builds were under way when gotrace last ended: marked cut off"
        ));
    }
    let source = Source::start(Wanted {
        command: Vec::new(),
        detail: config.detail,
        hint: SearchHint {
            path: std::env::var_os("PATH"),
            home: std::env::var_os("HOME").map(PathBuf::from),
            ..SearchHint::default()
        },
        whose: Whose::Everybody,
    })?;
    for note in source.notes() {
        tell(note);
    }
    tell(&format!(
        "following every Go build on this machine: {} probes on, history in {}",
        source.n_probes(),
        config.store.display()
    ));
    let mut agent = Agent {
        config,
        writer,
        retained: None,
        tell,
    };
    service::serve(source, &mut signals, &mut agent)?;
    agent.finish()
}

struct Agent<'a> {
    config: &'a Config,
    writer: Writer,
    retained: Option<std::time::Instant>,
    tell: fn(&str),
}

impl Sink for Agent<'_> {
    fn begun(&mut self, trace: &Trace) {
        for build in worth_keeping(trace) {
            self.writer.begin(build.entry);
        }
    }

    fn ended(&mut self, trace: Trace) {
        for build in worth_keeping(&trace) {
            self.writer.finish(build);
        }
    }

    fn state(&mut self, _: &State) {
        let is_due = self.retained.is_none_or(|it| it.elapsed() > RETENTION);
        if is_due {
            self.retained = Some(std::time::Instant::now());
            self.writer.retain(self.config.limits, now_ns());
        }
    }

    fn reload(&mut self) {
        (self.tell)("there is no configuration file to read again");
    }
}

impl Agent<'_> {
    /// Writes what is queued. Builds that go on without being followed are marked.
    fn finish(self) -> anyhow::Result<()> {
        let Self {
            config,
            writer,
            retained: _,
            tell,
        } = self;
        if !writer.flush(FLUSH) {
            tell("the history could not be written in time");
        }
        let counts = writer.counts();
        drop(writer);
        let n_cut_off = Store::open(&config.store)?.recover()?;
        tell(&format!(
            "ended: {} builds stored, {} under way marked cut off, {} dropped",
            counts.stored,
            n_cut_off,
            counts.dropped + counts.failed
        ));
        Ok(())
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
