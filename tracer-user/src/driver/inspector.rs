//! Has outputs read, on threads of its own: neither opening nor hashing a file must keep the ring from being drained.
//!
//! A file is opened here, and read by a child, as soon as its turn comes: it is hashed and asked who it is. Where more is wanted, the
//! open file goes on to the analyst, and the answer waits for it, but not for long: what is known by then is told.
//!
//! A file system that never answers keeps a thread for ever. So there are several, of which one neighbour gets one at a time, and
//! every question has its answer in time, whatever becomes of the thread.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tracer_core::byte_string::ByteString;
use tracer_core::event::{Artifact, Event, Inspected, ProcKey};

use super::analyst::{Analyst, Counts, Found, Shared};
use super::line::Workers;
use crate::clock;
use crate::inspect::{self, FileOwner, OUTPUT_LIMIT, Opened, Reader, ReaderSpawner, Refused, Root};
use crate::wakeup::{Notifier, Wakeup};

/// Files that wait to be read at most. One build of everything in a large repository has some hundreds.
const QUEUE: usize = 4096;
const THREADS: usize = 3;
/// How long an answer waits for a file to be read. A build is not told of before all its outputs are.
const READING: Duration = Duration::from_secs(100);
/// How long it then waits for the analyst.
const PATIENCE: Duration = Duration::from_secs(30);

/// How closely outputs are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What they are.
    Identity,
    /// And what their bytes are made of.
    Anatomy,
}

/// An output to read.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) process: ProcKey,
    pub(super) path: ByteString,
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// Names a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

/// What a thread has to say of a question.
#[derive(Debug)]
enum Word {
    Whole(Inspected),
    /// All but what its bytes are made of.
    Begun(Inspected),
    Rest(Found),
}

/// A question without an answer yet.
#[derive(Debug)]
struct Asked {
    process: ProcKey,
    path: ByteString,
    /// An answer that waits for its rest.
    begun: Option<Inspected>,
    until: Instant,
}

/// The reading threads, and what was asked of them.
#[derive(Debug)]
pub(super) struct Inspector {
    questions: Workers<FileOwner, (Ticket, Question)>,
    words: Receiver<(Ticket, Word)>,
    next: u64,
    n_dropped: u64,
    asked: BTreeMap<Ticket, Asked>,
    analyser: Arc<ReaderSpawner>,
    analyst: Option<Arc<Shared>>,
}

/// What the reading threads have in common.
struct Desk {
    analyser: Arc<ReaderSpawner>,
    analyst: Option<Analyst<Ticket>>,
    notifier: Notifier<(Ticket, Word)>,
}

impl Inspector {
    pub(super) fn start(depth: Depth, wakeup: &Wakeup) -> io::Result<Self> {
        let (tell, words) = channel();
        let notifier = Notifier::new(tell, wakeup);
        let analyser = Arc::new(ReaderSpawner::own()?);
        let analyst = match depth {
            Depth::Identity => None,
            Depth::Anatomy => {
                let notifier = notifier.clone();
                let tell = move |ticket, found| notifier.notify((ticket, Word::Rest(found)));
                Some(Analyst::start(Arc::clone(&analyser), tell)?)
            }
        };
        let shared = analyst.as_ref().map(Analyst::shared);
        let desk = Arc::new(Desk {
            analyser: Arc::clone(&analyser),
            analyst,
            notifier,
        });
        let work = move |(ticket, question)| desk.answer(ticket, question);
        Ok(Self {
            questions: Workers::start("inspector", THREADS, QUEUE, work)?,
            words,
            next: 0,
            n_dropped: 0,
            asked: BTreeMap::new(),
            analyser,
            analyst: shared,
        })
    }

    /// Has the file read; the answer at once if it will not be.
    pub(super) fn ask(&mut self, question: Question) -> Option<Event> {
        let ticket = Ticket(self.next);
        self.next += 1;
        let asked = Asked {
            process: question.process,
            path: question.path.clone(),
            begun: None,
            until: Instant::now() + READING,
        };
        let neighbour = question.root.file_owner(question.uid);
        match self.questions.push(vec![neighbour], (ticket, question)) {
            Ok(()) => {
                self.asked.insert(ticket, asked);
                None
            }
            Err(_full) => {
                self.n_dropped += 1;
                let why = format!("{QUEUE} other files waited to be read");
                Some(refused(asked.process, asked.path, why))
            }
        }
    }

    /// What has been read since the last call, and what waited long enough.
    pub(super) fn answers(&mut self) -> Vec<Event> {
        let now = Instant::now();
        let words: Vec<_> = self.words.try_iter().collect();
        let mut answers: Vec<Inspected> = words
            .into_iter()
            .filter_map(|(ticket, word)| self.hear(ticket, word, now))
            .collect();
        let late = self.asked.extract_if(.., |_, asked| asked.until <= now);
        answers.extend(late.map(|(_, asked)| asked.late()));
        answers.into_iter().map(Event::Inspected).collect()
    }

    /// What is not asked any more waited too long, and nobody hears of it.
    fn hear(&mut self, ticket: Ticket, word: Word, now: Instant) -> Option<Inspected> {
        match word {
            Word::Whole(inspected) => self.asked.remove(&ticket).map(|_| inspected),
            Word::Begun(inspected) => {
                let asked = self.asked.get_mut(&ticket)?;
                asked.begun = Some(inspected);
                asked.until = now + PATIENCE;
                None
            }
            Word::Rest(found) => {
                let inspected = self.asked.remove(&ticket)?.begun?;
                Some(with(inspected, found))
            }
        }
    }

    pub(super) fn n_pending(&self) -> usize {
        self.asked.len()
    }

    /// Files that were not read because too many waited.
    pub(super) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }

    /// How the analyst is doing, and the children of both.
    pub(super) fn analyses(&self) -> Counts {
        let counts = self.analyst.as_ref().map(|it| it.counts());
        Counts {
            lost: self.analyser.n_lost(),
            cpu_ns: self.analyser.cpu_ns(),
            ..counts.unwrap_or_default()
        }
    }
}

impl Asked {
    /// What is said when there is no more time.
    fn late(self) -> Inspected {
        let Self {
            process,
            path,
            begun,
            until: _,
        } = self;
        if let Some(inspected) = begun {
            let why = format!("it was not analysed within {} s", PATIENCE.as_secs());
            with(inspected, Err(why))
        } else {
            let why = format!("it was not read within {} s", READING.as_secs());
            inspected(process, path, Err(why))
        }
    }
}

impl Desk {
    fn answer(&self, ticket: Ticket, question: Question) {
        let Self {
            analyser,
            analyst,
            notifier,
        } = self;
        let Question {
            process,
            path,
            uid,
            root,
        } = question;
        let (opened, artifact) = match read(&root, inspect::as_path(&path), uid, analyser) {
            Ok(found) => found,
            Err(refused) => {
                let inspected = inspected(process, path, Err(refused.to_string()));
                return notifier.notify((ticket, Word::Whole(inspected)));
            }
        };
        let inspected = inspected(process, path, Ok(artifact.clone()));
        let Some(analyst) = analyst else {
            return notifier.notify((ticket, Word::Whole(inspected)));
        };
        // Said before the analyst is asked: its word cannot come first.
        notifier.notify((ticket, Word::Begun(inspected)));
        if let Some(found) = analyst.ask(root.file_owner(uid), opened, &artifact, ticket) {
            notifier.notify((ticket, Word::Rest(found)));
        }
    }
}

fn read(
    root: &Root,
    path: &Path,
    uid: u32,
    analyser: &ReaderSpawner,
) -> Result<(Opened, Artifact), Refused> {
    let reader = Reader { uid, public: false };
    let opened = root.open(path, reader, OUTPUT_LIMIT)?;
    let artifact = opened.artifact(analyser)?;
    Ok((opened, artifact))
}

/// What is said if nobody will look after it.
pub(super) fn refused(process: ProcKey, path: ByteString, why: String) -> Event {
    Event::Inspected(inspected(process, path, Err(why)))
}

fn inspected(process: ProcKey, path: ByteString, result: Result<Artifact, String>) -> Inspected {
    Inspected {
        at: clock::boot(),
        process,
        path,
        result,
    }
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
    use std::thread;

    use super::*;
    use tracer_core::event::{Ktime, Tgid};

    fn ask(path: &str) -> Question {
        Question {
            process: ProcKey {
                tgid: Tgid(1),
                born: Ktime(1),
            },
            path: path.into(),
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
        let mut inspector = Inspector::start(Depth::Anatomy, &Wakeup::new().unwrap()).unwrap();
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
            lost,
            cpu_ns,
        } = inspector.analyses();
        assert_eq!((waiting, analysed, known), (0, 1, 2));
        assert_eq!((failed, dropped, lost), (0, 0, 0));
        assert!(cpu_ns > 0);
    }

    #[test]
    fn what_is_no_program_lacks_nothing_and_what_is_broken_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (header, broken) = (dir.path().join("lib.h"), dir.path().join("broken"));
        std::fs::write(&header, "int f(void);\n").unwrap();
        std::fs::write(&broken, b"\x7fELF\x02\x01\x01 and so on").unwrap();
        let mut inspector = Inspector::start(Depth::Anatomy, &Wakeup::new().unwrap()).unwrap();
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
        let mut inspector = Inspector::start(Depth::Identity, &Wakeup::new().unwrap()).unwrap();
        let question = ask("/a");
        let inspected = || inspected(question.process, "/a".into(), Ok(Artifact::default()));
        let now = Instant::now();
        let asked = || Asked {
            process: question.process,
            path: question.path.clone(),
            begun: None,
            until: now + READING,
        };
        inspector.asked.insert(Ticket(7), asked());
        let begun = Word::Begun(inspected());
        assert_eq!(inspector.hear(Ticket(7), begun, now), None);
        assert!(inspector.answers().is_empty());
        inspector.asked.get_mut(&Ticket(7)).unwrap().until = now;
        let mut answers = inspector.answers();
        assert_eq!(answers.len(), 1);
        let why = artifact(answers.remove(0)).unanalysed;
        let why = why.as_deref();
        assert_eq!(why, Some("it was not analysed within 30 s"));
        // Its rest is of no use any more.
        assert_eq!(inspector.hear(Ticket(7), Word::Rest(Ok(None)), now), None);

        // One whose thread never comes back from opening it.
        let until = now;
        inspector
            .asked
            .insert(Ticket(8), Asked { until, ..asked() });
        let answers = inspector.answers();
        let [Event::Inspected(late)] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        let why = Err("it was not read within 100 s".to_owned());
        assert_eq!(late.result, why);
        let whole = Word::Whole(inspected());
        assert_eq!(inspector.hear(Ticket(8), whole, now), None);
    }
}
