//! Has texts read that the `go` command reads itself: its settings and module, arguments of its tools, and Git's files of the checkout.
//!
//! They are short, and there as a rule within a fraction of a millisecond, before the next record is looked at. So the loop waits for
//! one, but on threads of their own they are read: a file system that does not answer keeps the loop for [`WAITING`] in a second, and
//! its owner's other texts for as long as it likes, but nobody else. What comes later is among the answers of later.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tracer_core::byte_string::ByteString;
use tracer_core::event::{Captured, CheckedOut, EnvFile, Event, ProcKey, ResponseFile, Settings};
use tracer_core::golang::version::GoVersion;
use tracer_core::golang::{go_mod, response_file, settings};
use tracer_core::origin::Place;
use tracer_core::redact;

use super::bell::{Bell, Mouth};
use super::clock;
use super::line::Line;
use crate::inspect::{self, Neighbour, Reader, Root, TEXT_LIMIT, checkout};

/// Texts that wait to be read at most: of some hundred builds at once.
const QUEUE: usize = 4096;
/// Of which one neighbour gets one at a time.
const THREADS: usize = 4;
/// How long the loop waits for texts in [`SPAN`].
const WAITING: Duration = Duration::from_millis(50);
const SPAN: Duration = Duration::from_secs(1);
/// After which a text is said not to be there.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most directories between a build's working directory and its `go.mod`.
const DEPTH_MAX: usize = 64;

/// Something to read, for a process that was there when it was asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) process: ProcKey,
    pub(super) text: Text,
    /// With whose rights.
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// What is to be read.
#[derive(Clone, Debug)]
pub(super) enum Text {
    /// The settings files, and the module that this directory lies in.
    Settings {
        user: Option<ByteString>,
        root: Option<ByteString>,
        dir: Option<ByteString>,
        /// Where the process runs, which is known.
        place: Option<Place>,
    },
    /// Arguments of a tool of this version.
    ResponseFile {
        path: ByteString,
        version: Option<GoVersion>,
    },
    /// The checkout that this directory lies in.
    Checkout(ByteString),
}

/// Names a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

/// A question without an answer yet.
#[derive(Debug)]
struct Asked {
    neighbour: Neighbour,
    /// What is said if it gets none.
    unread: Event,
    until: Instant,
}

/// How long the loop may still wait.
#[derive(Debug)]
struct Allowance {
    since: Instant,
    left: Duration,
}

/// The reading threads. They end when this is dropped and the texts in hand are read; a process that ends does not wait for them.
#[derive(Debug)]
pub(super) struct Texts {
    questions: Arc<Line<Neighbour, (Ticket, Question)>>,
    words: Receiver<(Ticket, Event)>,
    next: u64,
    n_dropped: u64,
    asked: BTreeMap<Ticket, Asked>,
    /// Came while another was waited for.
    heard: Vec<Event>,
    allowance: Allowance,
}

impl Texts {
    pub(super) fn start(bell: &Bell) -> io::Result<Self> {
        let questions = Arc::new(Line::<Neighbour, (Ticket, Question)>::new(QUEUE));
        let (tell, words) = channel();
        for _ in 0..THREADS {
            let (questions, mouth) = (Arc::clone(&questions), Mouth::new(tell.clone(), bell));
            thread::Builder::new()
                .name("texts".to_owned())
                .spawn(move || {
                    questions.work(|(ticket, question)| mouth.say((ticket, question.answer())));
                })?;
        }
        Ok(Self {
            questions,
            words,
            next: 0,
            n_dropped: 0,
            asked: BTreeMap::new(),
            heard: Vec::new(),
            allowance: Allowance {
                since: Instant::now(),
                left: WAITING,
            },
        })
    }

    /// The answer, unless it takes longer: then it is among [`Texts::answers`] later.
    pub(super) fn ask(&mut self, question: Question) -> Option<Event> {
        let ticket = Ticket(self.next);
        self.next += 1;
        let neighbour = question.root.neighbour(question.uid);
        let unread = question.text.clone().unread(question.process);
        // Behind another that takes its time it will not be there soon.
        let is_behind = self.asked.values().any(|it| it.neighbour == neighbour);
        if self
            .questions
            .push(vec![neighbour], (ticket, question))
            .is_err()
        {
            self.n_dropped += 1;
            return Some(unread);
        }
        let asked = Asked {
            neighbour,
            unread,
            until: Instant::now() + PATIENCE,
        };
        self.asked.insert(ticket, asked);
        if is_behind { None } else { self.wait(ticket) }
    }

    fn wait(&mut self, wanted: Ticket) -> Option<Event> {
        let since = Instant::now();
        let left = self.allowance.at(since);
        let mut answer = None;
        while answer.is_none()
            && let Some(left) = left.checked_sub(since.elapsed())
            && let Ok((ticket, event)) = self.words.recv_timeout(left)
        {
            let is_asked = self.asked.remove(&ticket).is_some();
            if ticket == wanted {
                answer = Some(event);
            } else if is_asked {
                self.heard.push(event);
            }
        }
        self.allowance.left = left.saturating_sub(since.elapsed());
        answer
    }

    /// What has been read since the last call, and what waited long enough.
    pub(super) fn answers(&mut self) -> Vec<Event> {
        let mut answers = std::mem::take(&mut self.heard);
        let words: Vec<_> = self.words.try_iter().collect();
        for (ticket, event) in words {
            // What is not asked any more waited too long.
            answers.extend(self.asked.remove(&ticket).map(|_| event));
        }
        let now = Instant::now();
        let late = self.asked.extract_if(.., |_, asked| asked.until <= now);
        answers.extend(late.map(|(_, asked)| asked.unread));
        answers
    }

    pub(super) fn n_pending(&self) -> usize {
        self.asked.len() + self.heard.len()
    }

    /// Texts that were not read because too many waited.
    pub(super) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        self.questions.close();
    }
}

impl Allowance {
    fn at(&mut self, now: Instant) -> Duration {
        if now.duration_since(self.since) >= SPAN {
            self.since = now;
            self.left = WAITING;
        }
        self.left
    }
}

impl Text {
    /// What is said if nobody reads it.
    pub(super) fn unread(self, process: ProcKey) -> Event {
        let at = clock::boot();
        match self {
            Self::Settings { place, .. } => Event::Settings(Settings {
                at,
                process,
                user: None,
                root: None,
                module: None,
                place,
            }),
            Self::ResponseFile { .. } => Event::ResponseFile(ResponseFile {
                at,
                process,
                args: Captured::Missing,
            }),
            Self::Checkout(_) => Event::CheckedOut(CheckedOut {
                at,
                process,
                checkout: None,
            }),
        }
    }
}

impl Question {
    fn answer(self) -> Event {
        let read = |path: &Path| self.read(path);
        match &self.text {
            Text::Settings {
                user,
                root,
                dir,
                place,
            } => {
                let env_file = |path: &Option<ByteString>| {
                    let path = path.as_ref()?;
                    Some(EnvFile {
                        path: path.clone(),
                        variables: settings::parse_env_file(&read(inspect::as_path(path))?),
                    })
                };
                let (user, root) = (env_file(user), env_file(root));
                let module = dir
                    .as_ref()
                    .and_then(|it| self.module(inspect::as_path(it)));
                Event::Settings(Settings {
                    at: clock::boot(),
                    process: self.process,
                    user,
                    root,
                    module,
                    place: place.clone(),
                })
            }
            Text::ResponseFile { path, version } => {
                let args = read(inspect::as_path(path)).map_or(Captured::Missing, |text| {
                    let args = response_file::parse(&text, version.as_ref());
                    Captured::Whole(redact::argv(redact::Program::GoTool, args))
                });
                Event::ResponseFile(ResponseFile {
                    at: clock::boot(),
                    process: self.process,
                    args,
                })
            }
            Text::Checkout(dir) => Event::CheckedOut(CheckedOut {
                at: clock::boot(),
                process: self.process,
                checkout: checkout::read(&self.root, dir, self.uid),
            }),
        }
    }

    /// Path of the module of the nearest `go.mod` at or above `dir`.
    fn module(&self, dir: &Path) -> Option<String> {
        let text = dir
            .ancestors()
            .take(DEPTH_MAX)
            .find_map(|dir| self.read(&dir.join("go.mod")))?;
        go_mod::module_path(&text)
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let reader = Reader {
            uid: self.uid,
            public: true,
        };
        self.root.open(path, reader, TEXT_LIMIT).ok()?.read().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use tracer_core::event::{Ktime, Tgid};

    fn question(uid: u32, text: Text) -> Question {
        Question {
            process: ProcKey {
                tgid: Tgid(1),
                born: Ktime(1),
            },
            text,
            uid,
            root: Arc::new(Root::own().unwrap()),
        }
    }

    fn me() -> u32 {
        rustix::process::getuid().as_raw()
    }

    fn settings(dir: &Path) -> Text {
        Text::Settings {
            user: None,
            root: None,
            dir: Some(dir.to_str().unwrap().into()),
            place: None,
        }
    }

    fn module(event: Option<Event>) -> Option<String> {
        let Some(Event::Settings(settings)) = event else {
            panic!("{event:?}");
        };
        settings.module
    }

    #[test]
    fn what_is_there_is_answered_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(dir.path().join("go.mod"), "module example.com/m\n").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut texts = Texts::start(&Bell::new().unwrap()).unwrap();
        // Time enough, however busy the machine is.
        texts.allowance.left = PATIENCE;
        let found = module(texts.ask(question(me(), settings(&below))));
        assert_eq!(found.as_deref(), Some("example.com/m"));
        assert_eq!((texts.n_pending(), texts.answers()), (0, Vec::new()));
    }

    #[test]
    fn the_loop_waits_for_so_long_and_not_behind_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut texts = Texts::start(&Bell::new().unwrap()).unwrap();
        texts.allowance = Allowance {
            // In the future: it lasts for this test.
            since: Instant::now() + PATIENCE,
            left: Duration::ZERO,
        };
        assert_eq!(texts.ask(question(me(), settings(dir.path()))), None);
        assert_eq!(texts.n_pending(), 1);
        let since = Instant::now();
        let mut answers = Vec::new();
        while answers.is_empty() {
            assert!(since.elapsed() < PATIENCE, "no answer");
            answers = texts.answers();
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(module(answers.pop()), None);

        // One that takes for ever, and one of the same neighbour's behind it.
        texts.allowance.left = PATIENCE;
        let behind = question(me(), Text::Checkout("/".into()));
        let unread = settings(dir.path()).unread(behind.process);
        let asked = Asked {
            neighbour: behind.root.neighbour(behind.uid),
            unread: unread.clone(),
            until: Instant::now(),
        };
        texts.asked.insert(Ticket(100), asked);
        assert_eq!(texts.ask(behind), None);
        let answers = texts.answers();
        assert!(answers.contains(&unread), "{answers:?}");
    }
}
