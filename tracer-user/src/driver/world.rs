//! Does what the core asks for, and turns what it finds into events.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use tracer_core::byte_string::ByteString;
use tracer_core::effect::Effect;
use tracer_core::event::{Event, FileId, ProcKey, Tool};
use tracer_core::origin::Place;

use super::analyst;
use super::bell::Bell;
use super::inspector::{self, Depth, Inspector, Question};
use super::source::Source;
use super::texts::{self, Text, Texts};
use crate::inspect::{self, Refused, Root};
use crate::{proc, toolchain};

/// Most roots that are kept open. Processes in one root share it; there are as many as containers that build at once.
const ROOTS_MAX: usize = 256;

/// The world, as far as the core asks about it.
#[derive(Debug)]
pub(super) struct World {
    inspector: Inspector,
    texts: Texts,
    /// Readable when one of both has answers.
    bell: Bell,
    /// Roots of processes that were asked about while they lived.
    roots: BTreeMap<ProcKey, Arc<Root>>,
}

impl World {
    pub(super) fn new(depth: Depth) -> io::Result<Self> {
        let bell = Bell::new()?;
        Ok(Self {
            inspector: Inspector::start(depth, &bell)?,
            texts: Texts::start(&bell)?,
            bell,
            roots: BTreeMap::new(),
        })
    }

    /// The answer, unless it takes longer: then it is among [`World::answers`] later.
    pub(super) fn perform(&mut self, effect: Effect, source: &mut Source) -> Option<Event> {
        match effect {
            Effect::Identify { process, file, exe } => {
                identify(process, file, exe.as_ref(), source).map(Event::Tool)
            }
            Effect::ReadSettings {
                process,
                user,
                root,
                dir,
            } => {
                let text = Text::Settings {
                    user,
                    root,
                    dir,
                    place: place(process),
                };
                self.read(process, text, proc::fs_uid(process))
            }
            Effect::ReadResponseFile {
                process,
                path,
                version,
            } => {
                let text = Text::ResponseFile { path, version };
                self.read(process, text, proc::fs_uid(process))
            }
            Effect::ReadCheckout { process, dir, uid } => {
                self.read(process, Text::Checkout(dir), Some(uid))
            }
            Effect::Inspect { process, path, uid } => match self.root(process) {
                Ok(root) => self.inspector.ask(Question {
                    process,
                    path,
                    uid,
                    root,
                }),
                Err(refused) => Some(inspector::refused(process, path, refused.to_string())),
            },
        }
    }

    /// `uid` is not known where the process is gone; then nobody's rights are there to read with.
    fn read(&mut self, process: ProcKey, text: Text, uid: Option<u32>) -> Option<Event> {
        match (uid, self.root(process)) {
            (Some(uid), Ok(root)) => self.texts.ask(texts::Question {
                process,
                text,
                uid,
                root,
            }),
            (None, _) | (_, Err(_)) => Some(text.unread(process)),
        }
    }

    /// Lets go of what is kept open for a process that has ended.
    pub(super) fn forget(&mut self, process: ProcKey) {
        self.roots.remove(&process);
    }

    pub(super) fn answers(&mut self) -> Vec<Event> {
        self.bell.silence();
        let mut answers = self.texts.answers();
        answers.extend(self.inspector.answers());
        answers
    }

    /// Questions that are still to be answered.
    pub(super) fn n_pending(&self) -> usize {
        self.inspector.n_pending() + self.texts.n_pending()
    }

    /// Files that were not read because too many waited.
    pub(super) fn n_dropped(&self) -> u64 {
        self.inspector.n_dropped() + self.texts.n_dropped()
    }

    /// How looking into outputs goes.
    pub(super) fn analyses(&self) -> analyst::Counts {
        self.inspector.analyses()
    }

    /// The root of a process; ours if it is gone, which is the same unless it was in a container.
    fn root(&mut self, process: ProcKey) -> Result<Arc<Root>, Refused> {
        if let Some(root) = self.roots.get(&process) {
            return Ok(Arc::clone(root));
        }
        let root = Arc::new(Root::of(process).or_else(|_| Root::own())?);
        if self.roots.len() >= ROOTS_MAX {
            self.roots.pop_first();
        }
        self.roots.insert(process, Arc::clone(&root));
        Ok(root)
    }
}

impl AsFd for World {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The container and pod of that very process.
fn place(process: ProcKey) -> Option<Place> {
    let text = std::fs::read(format!("/proc/{}/cgroup", process.tgid.0)).ok()?;
    // Asked after reading: then it was that process, and no later one with the same id.
    proc::is_there(process)
        .then(|| Place::of_proc(&text))
        .flatten()
}

fn identify(
    process: ProcKey,
    asked: FileId,
    exe: Option<&ByteString>,
    source: &mut Source,
) -> Option<Tool> {
    if let Some(tool) = source.known(asked) {
        return Some(tool.clone());
    }
    let path = exe.map_or_else(PathBuf::new, |exe| inspect::as_path(exe).to_owned());
    // What the process runs, while it does; after that what its path names.
    let of_process = File::open(format!("/proc/{}/exe", process.tgid.0))
        .ok()
        .filter(|file| is_asked(file, asked));
    let file = of_process.or_else(|| {
        inspect::open_program(&path)
            .ok()
            .filter(|file| is_asked(file, asked))
    })?;
    source.probe(asked, &file, &path)
}

/// The device is left out: see [`Source::probe`].
fn is_asked(file: &File, asked: FileId) -> bool {
    file.metadata().is_ok_and(|metadata| {
        let FileId {
            dev: _,
            ino,
            size,
            ctime_ns,
        } = toolchain::file_id(&metadata);
        (ino, size, ctime_ns) == (asked.ino, asked.size, asked.ctime_ns)
    })
}
