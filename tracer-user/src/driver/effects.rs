//! Performs the effects of the core, and returns the results as events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use tracer_core::byte_string::ByteString;
use tracer_core::effect::Effect;
use tracer_core::event::{Event, FileId, ProcKey};
use tracer_core::origin::Place;

use super::output_analysis::AnalysisCounts;
use super::output_reader::{self, Depth, OutputReader, OutputRequest};
use super::programs::{ExaminedProgram, Program};
use super::readers::Readers;
use super::roots::Roots;
use super::source::Source;
use super::texts::{self, Text};
use crate::proc;
use crate::wakeup::Wakeup;

/// The result of an effect.
pub(super) type EffectResult = Result<Event, NoTool>;

/// The program of this process is no Go tool, or cannot be read. No event follows.
pub(super) struct NoTool {
    pub(super) process: ProcKey,
    pub(super) file: FileId,
}

/// The threads that perform effects.
pub(super) struct EffectRunner {
    outputs: OutputReader,
    texts: Readers<texts::TextRequest>,
    programs: Readers<Program>,
    /// Readable when one of the readers has results.
    wakeup: Wakeup,
    roots: Roots,
}

impl EffectRunner {
    pub(super) fn new(depth: Depth) -> io::Result<Self> {
        let wakeup = Wakeup::new()?;
        Ok(Self {
            outputs: OutputReader::start(depth, &wakeup)?,
            texts: Readers::start("texts", &wakeup)?,
            programs: Readers::start("programs", &wakeup)?,
            wakeup,
            roots: Roots::default(),
        })
    }

    /// Returns the result if it is available quickly. Otherwise [`EffectRunner::answers`] returns the result later.
    pub(super) fn perform(&mut self, effect: Effect, source: &mut Source) -> Option<EffectResult> {
        let event = match effect {
            Effect::Identify { process, file, exe } => {
                return self.identify(process, file, exe, source);
            }
            Effect::ReadSettings {
                process,
                user,
                root,
                dir,
                argv,
                env,
            } => {
                let text = Text::Settings {
                    user,
                    root,
                    dir,
                    argv,
                    env,
                    place: container_of(process),
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
            Effect::ReadBuildInfo { process, path, uid } => {
                self.read(process, Text::BuildInfo(path), Some(uid))
            }
            Effect::Inspect { process, path, uid } => match self.roots.of(process) {
                Ok(root) => self.outputs.ask(OutputRequest {
                    process,
                    path,
                    uid,
                    root,
                }),
                Err(refused) => Some(output_reader::refused(process, path, refused.to_string())),
            },
        };
        event.map(Ok)
    }

    fn identify(
        &mut self,
        process: ProcKey,
        file: FileId,
        exe: Option<ByteString>,
        source: &mut Source,
    ) -> Option<EffectResult> {
        if let Some(tool) = source.known(file) {
            return Some(Ok(Event::Tool(tool.clone())));
        }
        let Ok(root) = self.roots.of(process) else {
            return Some(Err(NoTool { process, file }));
        };
        let seen = self.programs.ask(Program {
            process,
            file,
            exe,
            // The user of an ended process is unknown. All such requests share one user and wait for each other.
            uid: proc::fs_uid(process).unwrap_or(u32::MAX),
            root,
        });
        seen.map(|it| probe(it, source))
    }

    /// Reads a text with the rights of the user. `uid` is `None` if the process has ended; then nothing is read.
    fn read(&mut self, process: ProcKey, text: Text, uid: Option<u32>) -> Option<Event> {
        match (uid, self.roots.of(process)) {
            (Some(uid), Ok(root)) => self.texts.ask(texts::TextRequest {
                process,
                text,
                uid,
                root,
            }),
            (None, _) | (_, Err(_)) => Some(text.unread(process)),
        }
    }

    /// Closes the files of a process that has ended.
    pub(super) fn forget(&mut self, process: ProcKey) {
        self.roots.forget(process);
    }

    /// Returns the results since the last call. Tools are probed first.
    pub(super) fn answers(&mut self, source: &mut Source) -> Vec<EffectResult> {
        self.wakeup.clear();
        let programs = self.programs.answers();
        let mut answers: Vec<EffectResult> =
            programs.into_iter().map(|it| probe(it, source)).collect();
        let events = self.texts.answers().into_iter();
        answers.extend(events.chain(self.outputs.answers()).map(Ok));
        answers
    }

    /// Number of effects without a result.
    pub(super) fn n_pending(&self) -> usize {
        self.outputs.n_pending() + self.texts.n_pending() + self.programs.n_pending()
    }

    /// Number of files that were not read because the queue was full.
    pub(super) fn n_dropped(&self) -> u64 {
        self.outputs.n_dropped() + self.texts.n_dropped() + self.programs.n_dropped()
    }

    /// Counts of the analyses of outputs.
    pub(super) fn analyses(&self) -> AnalysisCounts {
        self.outputs.analyses()
    }
}

impl AsFd for EffectRunner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }
}

/// The container and pod of the process.
fn container_of(process: ProcKey) -> Option<Place> {
    let text = std::fs::read(format!("/proc/{}/cgroup", process.tgid.0)).ok()?;
    // This check after the read proves that the text belongs to this process, not to a later one with the same ID.
    proc::is_there(process)
        .then(|| Place::of_proc(&text))
        .flatten()
}

/// Attaches probes to an examined program if it is a tool.
fn probe(seen: ExaminedProgram, source: &mut Source) -> EffectResult {
    let ExaminedProgram {
        process,
        file,
        tool,
    } = seen;
    match tool {
        Some(tool) => Ok(Event::Tool(source.probe(file, tool))),
        None => Err(NoTool { process, file }),
    }
}
