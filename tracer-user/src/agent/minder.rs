//! Has a keeper at work: starts it, tells it what waits, hears its answers, and starts another when it dies.
//!
//! All of that is on a thread of its own; whoever hands something over never waits for a keeper but when it begins and ends. What the
//! keeper answers is a small enum, and no more than that is taken from it: it has fewer rights than we have.

mod launch;
mod talk;
mod work;

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use tracer_core::recording::Detail;

pub(super) use self::launch::Launch;
use self::work::Work;
use super::backlog::Backlog;
use super::pipe::{Garbled, WORD_LIMIT, Word, encode};
use crate::config::File;
use crate::wakeup::Wakeup;

/// A keeper that is always there, or about to be.
pub(super) struct Minder {
    shared: Arc<Shared>,
    news: Receiver<News>,
    thread: Option<JoinHandle<()>>,
}

/// What the beginning and the end are waited for.
enum News {
    Opened(Detail),
    Following,
    /// There will be no keeper any more; if that was not asked for, why.
    Over(Result<(), String>),
}

struct Shared {
    told: Mutex<Told>,
    wakeup: Wakeup,
}

/// What both sides of the thread know.
struct Told {
    backlog: Backlog,
    /// The configuration in force, and one that the keeper was asked to take over.
    file: File,
    wanted: Option<File>,
    /// What the keeper read in the configuration, if that is news.
    detail: Option<Detail>,
    wish: Wish,
    /// What each keeper is told when it has begun.
    follow: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    GoOn,
    /// The keeper was asked to end, and is given until then.
    End(Instant),
    /// Nobody waits for it.
    LetGo,
}

impl Minder {
    /// With the first keeper, which is told to begin. `tell` hears of what is later wrong with one.
    pub(super) fn start(launch: Launch, file: File, tell: fn(&str)) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            told: Mutex::new(Told {
                backlog: Backlog::default(),
                file,
                wanted: None,
                detail: None,
                wish: Wish::GoOn,
                follow: None,
            }),
            wakeup: Wakeup::new()?,
        });
        let (sender, news) = channel();
        let work = Work::new(Arc::clone(&shared), launch, sender, tell);
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            shared,
            news,
            thread: Some(thread),
        })
    }

    /// Waits until the history is open; says how much is to be seen.
    pub(super) fn opened(&self) -> anyhow::Result<Detail> {
        match self.news.recv() {
            Ok(News::Opened(detail)) => Ok(detail),
            Ok(News::Over(Err(why))) => bail!(why),
            Ok(News::Following | News::Over(Ok(()))) | Err(_) => bail!(nonsense()),
        }
    }

    /// Tells it that builds are followed, and waits until it has heard that.
    pub(super) fn follow(&self, n_probes: usize) -> anyhow::Result<()> {
        let word = encode(&Word::Follow { n_probes }, WORD_LIMIT)?;
        self.hand_over(|told| {
            told.follow = Some(word.clone());
            told.backlog.say(word);
        });
        match self.news.recv() {
            Ok(News::Following) => Ok(()),
            Ok(News::Over(Err(why))) => bail!(why),
            Ok(News::Opened(_) | News::Over(Ok(()))) | Err(_) => bail!(nonsense()),
        }
    }

    /// Looks at what waits. Never waits.
    pub(super) fn look<T>(&self, f: impl FnOnce(&Backlog) -> T) -> T {
        f(&self.shared.told().backlog)
    }

    /// Adds to what waits. Never waits.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Backlog) -> T) -> T {
        self.hand_over(|told| f(&mut told.backlog))
    }

    /// Asks it to take that configuration over.
    pub(super) fn reload(&self, file: Result<File, String>) -> Result<(), Garbled> {
        let wanted = file.as_ref().ok().cloned();
        let word = encode(&Word::Reload { file }, WORD_LIMIT)?;
        self.hand_over(|told| {
            told.wanted = wanted;
            told.backlog.say(word);
        });
        Ok(())
    }

    /// How much is to be seen from now on, if that is news.
    pub(super) fn detail(&self) -> Option<Detail> {
        self.shared.told().detail.take()
    }

    /// Asks it to end with that word and waits until it has, at most so long.
    pub(super) fn finish(mut self, word: Bytes, until: Instant) -> anyhow::Result<()> {
        self.hand_over(|told| {
            told.backlog.end(word);
            told.wish = Wish::End(until);
        });
        let ended = loop {
            match self.news.recv() {
                Ok(News::Over(ended)) => break ended.map_err(|why| anyhow!(why)),
                Ok(News::Opened(_) | News::Following) => {}
                Err(_) => break Err(anyhow!(nonsense())),
            }
        };
        self.join();
        ended
    }

    fn hand_over<T>(&self, f: impl FnOnce(&mut Told) -> T) -> T {
        let it = f(&mut self.shared.told());
        self.shared.wakeup.wake();
        it
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic there was told by the panic itself.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Minder {
    /// The keeper learns by the end of the talk that nobody is there any more.
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.hand_over(|told| told.wish = Wish::LetGo);
            self.join();
        }
    }
}

fn nonsense() -> String {
    "the keeper of the history answers what it was not asked, please report it".to_owned()
}

impl Shared {
    /// A panic elsewhere while it was held leaves lists that are whole.
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
