//! Does what the core asks for, and turns what it finds into events.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracer_core::byte_string::ByteString;
use tracer_core::effect::Effect;
use tracer_core::event::{Captured, EnvFile, Event, FileId, ProcKey, ResponseFile, Settings, Tool};
use tracer_core::golang::version::GoVersion;
use tracer_core::golang::{go_mod, response_file, settings};
use tracer_core::origin::Place;
use tracer_core::redact;

use super::inspector::{About, Depth, Inspector, Question};
use super::source::Source;
use super::{analyst, clock};
use crate::inspect::{self, Opened, Reader, Refused, Root, TEXT_LIMIT};
use crate::{proc, toolchain};

/// Most directories between a build's working directory and its `go.mod`.
const DEPTH_MAX: usize = 64;
/// Most roots that are kept open. Processes in one root share it; there are as many as containers that build at once.
const ROOTS_MAX: usize = 256;

/// The world, as far as the core asks about it.
#[derive(Debug)]
pub(super) struct World {
    inspector: Inspector,
    /// Roots of processes that were asked about while they lived.
    roots: BTreeMap<ProcKey, Arc<Root>>,
}

impl World {
    pub(super) fn new(depth: Depth) -> io::Result<Self> {
        Ok(Self {
            inspector: Inspector::start(depth)?,
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
            } => Some(Event::Settings(self.settings(
                process,
                user.as_ref(),
                root.as_ref(),
                dir.as_ref(),
            ))),
            Effect::ReadResponseFile { process, path } => {
                let args = self.read(process, &path).map_or(Captured::Missing, |text| {
                    let args = response_file::parse(&text, go_version(process).as_ref());
                    Captured::Whole(redact::argv(redact::Program::GoTool, args))
                });
                Some(Event::ResponseFile(ResponseFile {
                    at: clock::boot(),
                    process,
                    args,
                }))
            }
            Effect::Inspect { process, path, uid } => self.ask(process, About::Output(path), uid),
            Effect::ReadCheckout { process, dir, uid } => {
                self.ask(process, About::Checkout(dir), uid)
            }
        }
    }

    fn ask(&mut self, process: ProcKey, about: About, uid: u32) -> Option<Event> {
        match self.root(process) {
            Ok(root) => self.inspector.ask(Question {
                process,
                about,
                uid,
                root,
            }),
            Err(refused) => Some(about.refused(process, refused.to_string())),
        }
    }

    /// Lets go of what is kept open for a process that has ended.
    pub(super) fn forget(&mut self, process: ProcKey) {
        self.roots.remove(&process);
    }

    pub(super) fn answers(&mut self) -> Vec<Event> {
        self.inspector.answers()
    }

    /// Questions that are still to be answered.
    pub(super) fn n_pending(&self) -> usize {
        self.inspector.n_pending()
    }

    /// Files that were not read because too many waited.
    pub(super) fn n_dropped(&self) -> u64 {
        self.inspector.n_dropped()
    }

    /// How looking into outputs goes.
    pub(super) fn analyses(&self) -> analyst::Counts {
        self.inspector.analyses()
    }

    fn settings(
        &mut self,
        process: ProcKey,
        user: Option<&ByteString>,
        root: Option<&ByteString>,
        dir: Option<&ByteString>,
    ) -> Settings {
        let mut env_file = |path: Option<&ByteString>| {
            let path = path?;
            let text = self.read(process, path)?;
            Some(EnvFile {
                path: path.clone(),
                variables: settings::parse_env_file(&text),
            })
        };
        let (user, root) = (env_file(user), env_file(root));
        let module = dir.and_then(|dir| self.module(process, inspect::as_path(dir)));
        Settings {
            at: clock::boot(),
            process,
            user,
            root,
            module,
            place: place(process),
        }
    }

    /// Path of the module of the nearest `go.mod` at or above `dir`.
    fn module(&mut self, process: ProcKey, dir: &Path) -> Option<String> {
        let text = dir
            .ancestors()
            .take(DEPTH_MAX)
            .find_map(|dir| self.read_path(process, &dir.join("go.mod")))?;
        go_mod::module_path(&text)
    }

    fn read(&mut self, process: ProcKey, path: &ByteString) -> Option<Vec<u8>> {
        self.read_path(process, inspect::as_path(path))
    }

    fn read_path(&mut self, process: ProcKey, path: &Path) -> Option<Vec<u8>> {
        let reader = Reader {
            uid: proc::fs_uid(process)?,
            public: true,
        };
        let opened = self.root(process).ok()?.open(path, reader, TEXT_LIMIT);
        opened
            .as_ref()
            .ok()
            .and_then(|opened: &Opened| opened.read().ok())
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
        self.inspector.as_fd()
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

/// The version that a tool says of itself in its environment, where the `go` command put it.
fn go_version(process: ProcKey) -> Option<GoVersion> {
    let env = proc::environ(process.tgid).ok()?;
    let (_, version) = env.iter().find(|(name, _)| name == "GOVERSION")?;
    GoVersion::parse(version.to_str()?)
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
