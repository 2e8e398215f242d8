//! The thread of the minder: one keeper after another, for as long as one is wanted.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::launch::{Launch, bury};
use super::talk::{Over, Talk};
use super::{News, Shared, Wish};
use crate::agent::pipe::{Answer, WORD_LIMIT, Word, encode};
use crate::backoff::Backoff;

/// How long a keeper has to be gone after it closed its end.
const BURIAL: Duration = Duration::from_secs(1);
/// And one that nobody waits for any more, to store what it has.
const FAREWELL: Duration = Duration::from_secs(5);
/// Before another keeper is started; each time twice as long, until one has lived for [`STEADY`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
const STEADY: Duration = Duration::from_mins(1);
/// Characters of a sentence that are shown.
const SENTENCE: usize = 2000;

/// How a keeper left.
enum Gone {
    /// As it was asked to.
    Ended,
    /// It said why.
    Failed(String),
    Died(String),
    /// It had its time.
    Late,
}

/// The thread.
pub(super) struct Work {
    shared: Arc<Shared>,
    launch: Launch,
    news: Sender<News>,
    tell: fn(&str),
    /// One has opened the history and followed builds.
    is_known: bool,
}

impl Work {
    pub(super) fn new(
        shared: Arc<Shared>,
        launch: Launch,
        news: Sender<News>,
        tell: fn(&str),
    ) -> Self {
        Self {
            shared,
            launch,
            news,
            tell,
            is_known: false,
        }
    }

    pub(super) fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut has_chance = true;
        loop {
            let since = Instant::now();
            let gone = match self.launch.start() {
                Ok((socket, child)) => self.attend(&socket, child),
                Err(error) => {
                    Gone::Failed(format!("cannot start the keeper of the history: {error}"))
                }
            };
            let wish = self.shared.told().wish;
            let over = match (wish, gone) {
                (Wish::LetGo, _) | (Wish::End(_), Gone::Ended) => Some(Ok(())),
                // What it had not stored is stored by another, if there is time.
                (Wish::End(until), Gone::Died(_)) if has_chance && Instant::now() < until => {
                    has_chance = false;
                    None
                }
                (Wish::End(_), gone) => Some(Err(gone.why())),
                (Wish::GoOn, gone) if !self.is_known => Some(Err(gone.why())),
                (Wish::GoOn, gone) => {
                    if since.elapsed() > STEADY {
                        backoff.succeeded();
                    }
                    (self.tell)(&format!(
                        "{}; another one is started, and builds wait for it",
                        gone.why()
                    ));
                    self.rest(backoff.failed(None));
                    None
                }
            };
            if let Some(over) = over {
                // Whoever does not wait for it does not hear it.
                let _unheard = self.news.send(News::Over(over));
                return;
            }
        }
    }

    /// Waits so long, or until it is to end.
    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while self.shared.told().wish == Wish::GoOn {
            let left = until.saturating_duration_since(Instant::now());
            let wake = PollFd::new(&self.shared.wakeup, PollFlags::IN);
            if left.is_zero()
                || Timespec::try_from(left).is_ok_and(|it| poll(&mut [wake], Some(&it)) == Ok(0))
            {
                return;
            }
            self.shared.wakeup.clear();
        }
    }

    /// Talks with a keeper until it is gone.
    fn attend(&mut self, socket: &UnixStream, child: Child) -> Gone {
        let shared = Arc::clone(&self.shared);
        let mut failure = None;
        let told = self.begin().and_then(|()| {
            let mut heed = |answer| self.heed(answer, &mut failure);
            Talk::new(socket, &shared).go_on(&mut heed)
        });
        // It ends when it hears that nobody is there any more; it may have hung up first.
        let _shut = socket.shutdown(Shutdown::Both);
        let patience = match told {
            Ok(Over::Late) => Duration::ZERO,
            Ok(Over::LetGo) => FAREWELL,
            Ok(Over::Closed) | Err(_) => BURIAL,
        };
        let ending = bury(child, patience);
        match (failure, told) {
            (_, Ok(Over::Late)) => Gone::Late,
            (Some(sentence), _) => Gone::Failed(sentence),
            (None, Err(error)) => Gone::Died(format!(
                "the keeper of the history cannot be talked to: {error}"
            )),
            (None, Ok(Over::Closed | Over::LetGo))
                if ending.as_ref().is_ok_and(ExitStatus::success) =>
            {
                Gone::Ended
            }
            (None, Ok(Over::Closed | Over::LetGo)) => Gone::Died(match ending {
                Ok(status) => format!("the keeper of the history has ended ({status})"),
                Err(error) => format!("the keeper of the history is lost: {error}"),
            }),
        }
    }

    /// What each keeper is told first.
    fn begin(&self) -> io::Result<()> {
        let mut told = self.shared.told();
        let again = self.is_known.then(|| told.backlog.last_told());
        let file = told.file.clone();
        let begin = encode(&Word::Begin { again, file }, WORD_LIMIT).map_err(io::Error::other)?;
        let follow = told.follow.clone();
        told.backlog.begin_again([begin].into_iter().chain(follow));
        Ok(())
    }

    fn heed(&mut self, answer: Answer, failure: &mut Option<String>) {
        // Nobody may be waiting any more.
        let news = |it| drop(self.news.send(it));
        match answer {
            Answer::Opened { detail } if self.is_known => self.shared.told().detail = Some(detail),
            Answer::Opened { detail } => news(News::Opened(detail)),
            Answer::Following if self.is_known => {}
            Answer::Following => {
                news(News::Following);
                self.is_known = true;
            }
            Answer::Stored { up_to } => self.shared.told().backlog.stored(up_to),
            Answer::Reloaded { detail } => {
                let mut told = self.shared.told();
                told.detail = Some(detail);
                if let Some(file) = told.wanted.take() {
                    told.file = file;
                }
            }
            Answer::Failed { sentence } => {
                *failure = Some(sentence.chars().take(SENTENCE).collect());
            }
        }
    }
}

impl Gone {
    fn why(self) -> String {
        match self {
            Self::Ended => "the keeper of the history ended by itself".to_owned(),
            Self::Failed(sentence) | Self::Died(sentence) => sentence,
            Self::Late => {
                "the keeper of the history did not end in time; what is under way is marked when gotrace runs again"
                    .to_owned()
            }
        }
    }
}
