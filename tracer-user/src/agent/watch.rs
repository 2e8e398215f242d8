//! The part of the agent that has power: follows builds, and hands each over to the keeper.
//!
//! The loop is the driver's (`driver::service`). Nothing in this module waits for a disk, a network or the keeper: what it does not take
//! waits in a bounded backlog.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracer_core::event::ProcKey;
use tracer_core::history::Entry;
use tracer_core::model::Trace;
use tracer_core::recording::Detail;

use super::backlog::Backlog;
use super::begin::beside;
use super::minder::{Launch, Minder};
use super::pipe::{Garbled, WORD_LIMIT, Word, encode};
use super::{Config, END, Load, REST, notify};
use crate::clock;
use crate::config::File;
use crate::digest_key;
use crate::driver::service::{self, Sink};
use crate::driver::{ObserverStatus, Pin, SelfTestVerdict, Source, Wanted, Whose};
use crate::launch::signal::Signals;
use crate::proc;
use crate::toolchain::SearchHint;

/// Reads the file of the configuration.
type Read<'a> = &'a dyn Fn() -> anyhow::Result<File>;

/// How much longer than it was given a keeper is waited for.
const GRACE: Duration = Duration::from_millis(300);

/// Follows every build until a signal ends it. `read` reads the file of the configuration, which the keeper might not be allowed to;
/// `load` makes a configuration of it, and `args` are the words that make a keeper make the same. `tell` is given sentences for the operator.
pub fn watch(
    read: Read<'_>,
    load: Load<'_>,
    args: Vec<OsString>,
    tell: fn(&str),
) -> anyhow::Result<()> {
    // A mistake in it is told before anything is started.
    let file = read()?;
    let Config { store, pin, .. } = load(&file)?;
    let store = std::path::absolute(store)?;
    let mut signals = Signals::take()?;
    let keeper = Minder::start(Launch::own(args)?, file, tell)?;
    let detail = keeper.opened()?;
    let (digest_key, trouble) = digest_key::of_agent(&store);
    trouble.as_deref().into_iter().for_each(tell);
    let source = Source::start(Wanted {
        command: Vec::new(),
        detail,
        hint: SearchHint {
            path: std::env::var_os("PATH"),
            home: std::env::var_os("HOME").map(PathBuf::from),
            ..SearchHint::default()
        },
        whose: Whose::Everybody,
        pin: pin.map(|place| Pin {
            place,
            own: beside(&store, "-under-way"),
        }),
        digest_key,
    })?;
    if source.is_adopted() {
        tell("going on with what the agent before left on");
    }
    for note in source.notes() {
        tell(note);
    }
    keeper.follow(source.n_probes())?;
    let mut watch = Watch {
        keeper,
        read,
        has_probes: has_probes(detail),
        n_ended: 0,
        n_dropped: 0,
        self_test: SelfTestVerdict::Pending,
        busy: Some(Instant::now()),
        tell,
    };
    let own = beside(&store, "-self-test");
    service::serve(source, own, &mut signals, &mut watch)?;
    watch.finish()
}

struct Watch<'a> {
    keeper: Minder,
    read: Read<'a>,
    /// Whether there are any: that does not change.
    has_probes: bool,
    /// Traces that were handed over, or were to be.
    n_ended: u64,
    /// Builds that had no room, as last told.
    n_dropped: u64,
    /// As last told.
    self_test: SelfTestVerdict,
    /// When something was last under way, if memory was not given back since.
    busy: Option<Instant>,
    tell: fn(&str),
}

impl Sink for Watch<'_> {
    fn begun(&mut self, trace: &Trace) {
        for build in &trace.builds {
            let entry = Entry::of(trace, build);
            match encode(&Word::Begun(Box::new(entry)), WORD_LIMIT) {
                Ok(word) => self.keeper.with(|it| it.begun(build.process, word)),
                Err(error) => self.untold(&error),
            }
        }
    }

    fn ended(&mut self, trace: Trace) {
        self.hand_over(trace, false);
    }

    fn ended_again(&mut self, trace: Trace) {
        self.hand_over(trace, true);
    }

    fn still_has(&self, process: ProcKey) -> bool {
        self.keeper.look(|it| it.has(process))
    }

    fn status(&mut self, status: ObserverStatus) {
        if status.self_test != self.self_test {
            self.is_ready_by(&status.self_test);
        }
        let (n_waiting, n_dropped) = self.keeper.look(|it| (it.n_builds(), it.n_dropped()));
        if n_dropped > self.n_dropped {
            (self.tell)(&format!(
                "{} builds are not kept: the keeper of the history does not keep up",
                n_dropped - self.n_dropped
            ));
            self.n_dropped = n_dropped;
        }
        let status = ObserverStatus {
            cpu_ns: clock::own_cpu_ns() + status.analyses.cpu_ns,
            resident_bytes: proc::own_resident_bytes(),
            n_waiting,
            n_dropped,
            ..status
        };
        let is_busy = status.n_sessions > 0;
        match encode(&Word::Status(Box::new(status)), WORD_LIMIT) {
            Ok(word) => self.keeper.with(|it| it.status(word)),
            Err(error) => self.untold(&error),
        }
        if is_busy {
            self.busy = Some(Instant::now());
        } else if self.busy.is_some_and(|it| it.elapsed() > REST) {
            self.busy = None;
            proc::give_back_memory();
        }
    }

    fn reload(&mut self) {
        let file = (self.read)().map_err(|error| format!("{error:#}"));
        if let Err(error) = self.keeper.reload(file) {
            self.untold(&error);
        }
    }

    fn detail(&mut self) -> Option<Detail> {
        let detail = self.keeper.detail();
        detail.filter(|it| has_probes(*it) == self.has_probes)
    }
}

impl Watch<'_> {
    /// `is_known`: another agent may have had its builds stored.
    fn hand_over(&mut self, trace: Trace, is_known: bool) {
        let n = trace.builds.len();
        let processes: Vec<ProcKey> = trace.builds.iter().map(|it| it.process).collect();
        let word = (n > 0).then(|| {
            self.n_ended += 1;
            let trace = Box::new(trace);
            let n = self.n_ended;
            encode(&Word::Ended { n, is_known, trace }, WORD_LIMIT)
        });
        self.keeper.with(|backlog| {
            for process in &processes {
                backlog.over(*process);
            }
            match &word {
                // Counted, and told with the next state.
                Some(Ok(word)) => {
                    let _no_room = backlog.ended(self.n_ended, n, processes, word.clone());
                }
                Some(Err(_)) => backlog.drop_builds(n),
                None => {}
            }
        });
        if let Some(Err(error)) = word {
            self.untold(&error);
        }
    }

    fn untold(&self, error: &Garbled) {
        (self.tell)(&format!(
            "the keeper of the history is not told something: {error}"
        ));
    }

    /// Who asked the service manager learns it from now on; the operator, if it is news.
    fn is_ready_by(&mut self, verdict: &SelfTestVerdict) {
        match verdict {
            SelfTestVerdict::Pending => {}
            SelfTestVerdict::Seen => {
                if matches!(self.self_test, SelfTestVerdict::Unseen(_)) {
                    (self.tell)("ready: what gotrace runs itself is seen again");
                }
                if let Err(error) = notify::notify(notify::READY) {
                    (self.tell)(&format!(
                        "the service manager cannot be told that gotrace is ready: {error}"
                    ));
                }
            }
            SelfTestVerdict::Unseen(why) => (self.tell)(&format!("not ready: {why}")),
        }
        self.self_test = verdict.clone();
    }

    /// What waits is stored, as far as that can be done in time.
    fn finish(self) -> anyhow::Result<()> {
        let until = Instant::now() + END;
        // Whoever waits for us to end sees us gone soon anyway.
        let _untold = notify::notify(notify::STOPPING);
        let nanos = u64::try_from(END.as_nanos()).unwrap_or(u64::MAX);
        let word = Word::End {
            until_ns: clock::boot_ns().saturating_add(nanos),
            n_dropped: self.keeper.look(Backlog::n_dropped),
        };
        self.keeper
            .finish(encode(&word, WORD_LIMIT)?, until + GRACE)
    }
}

fn has_probes(detail: Detail) -> bool {
    detail != Detail::Process
}
