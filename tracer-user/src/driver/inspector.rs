//! Reads outputs on a thread of its own: hashing a large file must not keep the ring from being drained.
//!
//! A file is opened, hashed and asked who it is as soon as its turn comes; where more is wanted, the open file goes on to the analyst,
//! and the answer waits for it, but not for long: what is known by then is told.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use tracer_core::byte_string::ByteString;
use tracer_core::event::{Artifact, CheckedOut, Event, Inspected, ProcKey};
use tracer_core::origin::Checkout;

use super::analyst::{Analyst, Counts, Found, Shared};
use super::clock;
use crate::inspect::{self, OUTPUT_LIMIT, Opened, Reader, Refused, Root, checkout};

/// Files that wait to be read at most. One build of everything in a large repository has some hundreds.
const QUEUE: usize = 4096;
/// How long an answer waits for the analyst. A build is not told of before all its outputs are.
const PATIENCE: Duration = Duration::from_secs(30);

/// How closely outputs are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What they are.
    Identity,
    /// And what their bytes are made of.
    Anatomy,
}

/// Something to read.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) process: ProcKey,
    pub(super) about: About,
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// What is to be read.
#[derive(Debug)]
pub(super) enum About {
    /// The output with this path.
    Output(ByteString),
    /// The checkout that this directory lies in.
    Checkout(ByteString),
}

/// Names a question that goes on to the analyst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

/// What a thread has to say.
#[derive(Debug)]
enum Word {
    Whole(Event),
    /// All but what its bytes are made of.
    Begun(Ticket, Inspected),
    Rest(Ticket, Found),
}

/// An answer that waits for its rest.
#[derive(Debug)]
struct Held {
    inspected: Inspected,
    until: Instant,
}

/// The reading threads. They end when this is dropped and the files in hand are read; a process that ends does not wait for them.
#[derive(Debug)]
pub(super) struct Inspector {
    questions: SyncSender<Question>,
    words: Receiver<Word>,
    /// Readable while there are words.
    bell: Arc<OwnedFd>,
    n_pending: usize,
    n_dropped: u64,
    held: BTreeMap<Ticket, Held>,
    analyst: Option<Arc<Shared>>,
}

impl Inspector {
    pub(super) fn start(depth: Depth) -> io::Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (questions, asked) = sync_channel::<Question>(QUEUE);
        let (tell, words) = channel();
        let mouth = Mouth {
            tell,
            bell: Arc::clone(&bell),
        };
        let analyst = match depth {
            Depth::Identity => None,
            Depth::Anatomy => {
                let mouth = mouth.clone();
                Some(Analyst::start(move |ticket, found| {
                    mouth.say(Word::Rest(ticket, found));
                })?)
            }
        };
        let shared = analyst.as_ref().map(Analyst::shared);
        thread::Builder::new()
            .name("inspector".to_owned())
            .spawn(move || {
                for (number, question) in (0..).zip(asked) {
                    question.answer(analyst.as_ref(), Ticket(number), &mouth);
                }
            })?;
        Ok(Self {
            questions,
            words,
            bell,
            n_pending: 0,
            n_dropped: 0,
            held: BTreeMap::new(),
            analyst: shared,
        })
    }

    /// Has the file read; the answer at once if it will not be.
    pub(super) fn ask(&mut self, question: Question) -> Option<Event> {
        match self.questions.try_send(question) {
            Ok(()) => {
                self.n_pending += 1;
                None
            }
            // The thread only ends when we do.
            Err(TrySendError::Full(question) | TrySendError::Disconnected(question)) => {
                self.n_dropped += 1;
                let Question { process, about, .. } = question;
                let why = format!("{QUEUE} other files waited to be read");
                Some(about.refused(process, why))
            }
        }
    }

    /// What has been read since the last call, and what waited long enough.
    pub(super) fn answers(&mut self) -> Vec<Event> {
        // Silenced first: an answer that comes after this rings again.
        let _silent = rustix::io::read(&self.bell, &mut [0; 8]);
        let now = Instant::now();
        let words: Vec<Word> = self.words.try_iter().collect();
        let mut answers: Vec<Event> = words
            .into_iter()
            .filter_map(|word| self.hear(word, now))
            .collect();
        let late = self.held.extract_if(.., |_, held| held.until <= now);
        answers.extend(late.map(|(_, held)| {
            let why = format!("it was not analysed within {} s", PATIENCE.as_secs());
            Event::Inspected(with(held.inspected, Err(why)))
        }));
        self.n_pending = self.n_pending.saturating_sub(answers.len());
        answers
    }

    fn hear(&mut self, word: Word, now: Instant) -> Option<Event> {
        match word {
            Word::Whole(event) => Some(event),
            Word::Begun(ticket, inspected) => {
                let until = now + PATIENCE;
                self.held.insert(ticket, Held { inspected, until });
                None
            }
            // What is not held any more waited too long.
            Word::Rest(ticket, found) => {
                let held = self.held.remove(&ticket)?;
                Some(Event::Inspected(with(held.inspected, found)))
            }
        }
    }

    pub(super) fn n_pending(&self) -> usize {
        self.n_pending
    }

    /// Files that were not read because too many waited.
    pub(super) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }

    /// How the analyst is doing.
    pub(super) fn analyses(&self) -> Counts {
        self.analyst
            .as_ref()
            .map(|it| it.counts())
            .unwrap_or_default()
    }
}

impl AsFd for Inspector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Where a thread says what it found.
#[derive(Clone)]
struct Mouth {
    tell: Sender<Word>,
    bell: Arc<OwnedFd>,
}

impl Mouth {
    fn say(&self, word: Word) {
        // Nobody listens any more when the driver has ended.
        let _gone = self.tell.send(word);
        // Full means that it is ringing already.
        let _ringing = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl Question {
    fn answer(self, analyst: Option<&Analyst<Ticket>>, ticket: Ticket, mouth: &Mouth) {
        let Self {
            process,
            about,
            uid,
            root,
        } = self;
        let path = match about {
            About::Checkout(dir) => {
                let checkout = checkout::read(&root, &dir, uid);
                return mouth.say(Word::Whole(checked_out(process, checkout)));
            }
            About::Output(path) => path,
        };
        let (opened, artifact) = match read(&root, inspect::as_path(&path), uid) {
            Ok(found) => found,
            Err(refused) => {
                let inspected = inspected(process, path, Err(refused.to_string()));
                return mouth.say(Word::Whole(Event::Inspected(inspected)));
            }
        };
        let inspected = inspected(process, path, Ok(artifact.clone()));
        let Some(analyst) = analyst else {
            return mouth.say(Word::Whole(Event::Inspected(inspected)));
        };
        // Said before the analyst is asked: its word cannot come first.
        mouth.say(Word::Begun(ticket, inspected));
        if let Some(found) = analyst.ask(opened, &artifact, ticket) {
            mouth.say(Word::Rest(ticket, found));
        }
    }
}

impl About {
    /// What is said if nobody will look after it.
    pub(super) fn refused(self, process: ProcKey, why: String) -> Event {
        match self {
            Self::Output(path) => Event::Inspected(inspected(process, path, Err(why))),
            Self::Checkout(_) => checked_out(process, None),
        }
    }
}

fn read(root: &Root, path: &Path, uid: u32) -> Result<(Opened, Artifact), Refused> {
    let reader = Reader { uid, public: false };
    let opened = root.open(path, reader, OUTPUT_LIMIT)?;
    let artifact = opened.artifact()?;
    Ok((opened, artifact))
}

fn inspected(process: ProcKey, path: ByteString, result: Result<Artifact, String>) -> Inspected {
    Inspected {
        at: clock::boot(),
        process,
        path,
        result,
    }
}

fn checked_out(process: ProcKey, checkout: Option<Checkout>) -> Event {
    Event::CheckedOut(CheckedOut {
        at: clock::boot(),
        process,
        checkout,
    })
}

/// With what the analyst found out.
fn with(inspected: Inspected, found: Found) -> Inspected {
    let (anatomy, unanalysed) = match found {
        Ok(anatomy) => (anatomy, None),
        Err(why) => (None, Some(why)),
    };
    Inspected {
        result: inspected.result.map(|artifact| Artifact {
            anatomy,
            unanalysed,
            ..artifact
        }),
        ..inspected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_core::event::{Ktime, Tgid};

    fn ask(path: &str) -> Question {
        Question {
            process: ProcKey {
                tgid: Tgid(1),
                born: Ktime(1),
            },
            about: About::Output(path.into()),
            uid: rustix::process::getuid().as_raw(),
            root: Arc::new(Root::own().unwrap()),
        }
    }

    fn artifact(event: Event) -> Artifact {
        let Event::Inspected(inspected) = event else {
            panic!("{event:?}");
        };
        inspected.result.unwrap()
    }

    fn answers(inspector: &mut Inspector, n: usize) -> Vec<Artifact> {
        let since = Instant::now();
        let mut found = Vec::new();
        while found.len() < n {
            assert!(since.elapsed() < PATIENCE, "{} of {n}", found.len());
            found.extend(inspector.answers().into_iter().map(artifact));
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(inspector.n_pending(), 0);
        found
    }

    #[test]
    fn a_content_is_looked_into_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut inspector = Inspector::start(Depth::Anatomy).unwrap();
        let program = std::fs::read("/bin/true").unwrap();
        let n = 3;
        for name in 0..n {
            let path = dir.path().join(name.to_string());
            std::fs::write(&path, &program).unwrap();
            assert!(inspector.ask(ask(path.to_str().unwrap())).is_none());
        }
        let found = answers(&mut inspector, n);
        assert!(found.iter().all(|it| it.anatomy == found[0].anatomy));
        assert!(found[0].anatomy.is_some() && found[0].unanalysed.is_none());
        let Counts {
            waiting,
            analysed,
            known,
            failed,
            dropped,
        } = inspector.analyses();
        assert_eq!((waiting, analysed, known), (0, 1, 2));
        assert_eq!((failed, dropped), (0, 0));
    }

    #[test]
    fn what_is_no_program_lacks_nothing_and_what_is_broken_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (header, broken) = (dir.path().join("lib.h"), dir.path().join("broken"));
        std::fs::write(&header, "int f(void);\n").unwrap();
        std::fs::write(&broken, b"\x7fELF\x02\x01\x01 and so on").unwrap();
        let mut inspector = Inspector::start(Depth::Anatomy).unwrap();
        for path in [&header, &broken] {
            assert!(inspector.ask(ask(path.to_str().unwrap())).is_none());
        }
        let found = answers(&mut inspector, 2);
        assert_eq!((&found[0].anatomy, &found[0].unanalysed), (&None, &None));
        let why = found[1].unanalysed.as_deref().unwrap_or_default();
        assert!(why.contains("cannot be read"), "{why}");
        assert_eq!(inspector.analyses().failed, 1);
    }

    #[test]
    fn an_answer_does_not_wait_for_its_rest_for_ever() {
        let mut inspector = Inspector::start(Depth::Identity).unwrap();
        let question = ask("/a");
        let inspected = || inspected(question.process, "/a".into(), Ok(Artifact::default()));
        let now = Instant::now();
        assert_eq!(
            inspector.hear(Word::Begun(Ticket(1), inspected()), now),
            None
        );
        assert!(inspector.answers().is_empty());
        let held = inspector.held.get_mut(&Ticket(1)).unwrap();
        held.until = now;
        let mut answers = inspector.answers();
        assert_eq!(answers.len(), 1);
        let why = artifact(answers.remove(0)).unanalysed;
        let why = why.as_deref();
        assert_eq!(why, Some("it was not analysed within 30 s"));
        // Its rest is of no use any more.
        assert_eq!(inspector.hear(Word::Rest(Ticket(1), Ok(None)), now), None);
    }
}
