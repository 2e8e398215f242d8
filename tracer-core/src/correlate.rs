//! Events in, questions and builds out: the state machine in the middle.
//!
//! [`Correlator::apply`] only files what it is told, per process, and asks the rim for what will be gone later; all judgement
//! is made by [`Correlator::finish`], when everything is known, by reading those files. So the order in which events of
//! different processes arrive does not matter, and a missing one leaves a gap with a name instead of a wrong answer.

mod action;
mod args;
mod build;
mod call;
mod failure;
mod family;
mod name;
mod origin;
mod output;
mod process;
mod purpose;
mod setting;
mod table;
#[cfg(test)]
mod tests;
mod toolless;

use std::collections::{BTreeMap, BTreeSet};

use crate::byte_string::ByteString;
use crate::effect::Effect;
use crate::event::{Artifact, Event, FileId, Ktime, Lost, ProcKey, Role, Tool};
use crate::golang::version::GoVersion;
use crate::model::{Anomaly, EventCounts, SCHEMA, ToolProgram, Trace};

use process::{Image, Process};
use purpose::Head;
use table::Table;

/// What is known before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Name of the machine.
    pub host: Option<String>,
    /// The command that is followed, redacted.
    pub command: Vec<ByteString>,
    pub boot_to_wall_ns: i64,
    pub cpus: u32,
    /// Whether phases were asked for: only then is their absence a gap.
    pub phases: bool,
    /// Whether renames were watched: only then does the absence of one tell anything.
    pub renames: bool,
}

/// What a program is: by its file, or by its place where that was not looked at.
pub(crate) fn role(tools: &BTreeMap<FileId, Tool>, file: FileId, exe: &ByteString) -> Option<Role> {
    match tools.get(&file) {
        Some(tool) => Some(tool.role),
        None => args::role_by_path(exe),
    }
}

/// The state machine.
#[derive(Debug, Default)]
pub struct Correlator {
    context: Context,
    table: Table,
    tools: BTreeMap<FileId, Tool>,
    asked: BTreeSet<FileId>,
    artifacts: BTreeMap<(ProcKey, ByteString), Result<Artifact, String>>,
    lost: Vec<Lost>,
    counts: EventCounts,
    first: Option<Ktime>,
    last: Ktime,
}

impl Correlator {
    pub fn new(context: Context) -> Self {
        Self {
            context,
            ..Self::default()
        }
    }

    /// Takes one event; says what the rim should find out because of it.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Fork(fork) => {
                self.counts.forks += 1;
                self.saw(fork.at);
                self.table.fork(&fork);
                Vec::new()
            }
            Event::Exec(exec) => {
                self.counts.execs += 1;
                self.saw(exec.at);
                self.exec(*exec)
            }
            Event::Exit(exit) => {
                self.counts.exits += 1;
                self.saw(exit.at);
                self.table.exit(&exit);
                self.inspect(exit.process)
            }
            Event::Reaped(reaped) => {
                self.counts.reaped += 1;
                // Who lets go of it does so later, and for reasons of their own.
                if let Some(ended) = reaped.ended {
                    self.saw(ended);
                }
                self.table.answer(reaped.process, |it| it.reaped(&reaped));
                Vec::new()
            }
            Event::Rename(rename) => {
                self.counts.renames += 1;
                self.saw(rename.at);
                self.table
                    .of(rename.process, rename.at)
                    .renames
                    .push(rename);
                Vec::new()
            }
            Event::Call(call) => {
                self.counts.calls += 1;
                self.saw(call.at);
                self.table.of(call.process, call.at).called(&call);
                Vec::new()
            }
            Event::Lineage(lineage) => {
                self.saw(lineage.at);
                self.table.of(lineage.process, lineage.at).above = lineage.above;
                Vec::new()
            }
            Event::Tool(tool) => self.tool(tool),
            Event::Settings(settings) => {
                self.table
                    .answer(settings.process, |it| it.settings = Some(settings));
                Vec::new()
            }
            Event::ResponseFile(file) => {
                self.table
                    .answer(file.process, |it| it.response = Some(file.args));
                Vec::new()
            }
            Event::Inspected(inspected) => {
                self.artifacts
                    .insert((inspected.process, inspected.path), inspected.result);
                Vec::new()
            }
            Event::CheckedOut(answer) => {
                self.table
                    .answer(answer.process, |it| it.checkout = answer.checkout);
                Vec::new()
            }
            Event::BuildInfo(answer) => {
                self.table
                    .answer(answer.process, |it| it.build_info = answer.main);
                Vec::new()
            }
            Event::Lost(lost) => {
                self.counts.lost += lost.n;
                self.saw(lost.at);
                self.lost.push(lost);
                Vec::new()
            }
            Event::Unreadable(_) => {
                self.counts.unreadable += 1;
                Vec::new()
            }
        }
    }

    /// Whether a followed process is still running, as far as was seen.
    pub fn n_running(&self) -> usize {
        self.table.processes().filter(|it| it.end.is_none()).count()
    }

    /// Processes whose exit was seen, and whose last times were not.
    pub fn n_unreaped(&self) -> usize {
        let ended = self.table.processes().filter(|it| it.end.is_some());
        ended.filter(|it| !it.usage.is_final).count()
    }

    /// Whether a process runs a tool of Go, as far as its file or its place tells.
    pub(crate) fn is_tool(&self, process: ProcKey) -> bool {
        self.table
            .get(process)
            .is_some_and(|it| self.role(it).is_some())
    }

    /// Whether any process runs a tool of Go, likewise.
    pub(crate) fn has_tool(&self) -> bool {
        self.table.processes().any(|it| self.role(it).is_some())
    }

    /// Ends the trace: everything that was seen, as builds.
    pub fn finish(self) -> Trace {
        self.so_far()
    }

    /// Everything that was seen until now, as builds.
    pub(crate) fn so_far(&self) -> Trace {
        let children = self.table.children();
        let mut builds = build::builds(self, &children);
        builds.extend(toolless::builds(self, &children));
        builds.sort_by_key(|it| (it.start, it.process));
        let start = self.first.unwrap_or_default();
        Trace {
            schema: SCHEMA.to_owned(),
            host: self.context.host.clone(),
            command: self.context.command.clone(),
            start,
            end: self.last.max(start),
            boot_to_wall_ns: self.context.boot_to_wall_ns,
            cpus: self.context.cpus,
            status: self
                .table
                .root()
                .and_then(|it| it.end.as_ref())
                .map(|it| it.status),
            usage: process::total(self.table.processes()),
            builds,
            tools: self.used_tools(),
            events: self.counts,
            anomalies: self.anomalies(),
        }
    }

    fn saw(&mut self, at: Ktime) {
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = self.last.max(at);
    }

    fn exec(&mut self, exec: crate::event::Exec) -> Vec<Effect> {
        let key = exec.process;
        let file = exec.file;
        let exe = exec.exe.get().cloned();
        self.table.exec(exec);
        let mut effects = Vec::new();
        if !self.tools.contains_key(&file) && self.asked.insert(file) {
            effects.push(Effect::Identify {
                process: key,
                file,
                exe,
            });
        }
        effects.extend(self.ask(key));
        effects
    }

    /// A tool became known: processes that run it already may have something to ask for.
    fn tool(&mut self, tool: Tool) -> Vec<Effect> {
        let file = tool.file;
        self.tools.insert(file, tool);
        let waiting: Vec<ProcKey> = self
            .table
            .processes()
            .filter(|it| it.end.is_none() && it.image().is_some_and(|image| image.file == file))
            .map(|it| it.key)
            .collect();
        waiting.into_iter().flat_map(|key| self.ask(key)).collect()
    }

    /// What must be read while the process lives.
    fn ask(&self, key: ProcKey) -> Vec<Effect> {
        let Some(process) = self.table.get(key) else {
            return Vec::new();
        };
        let Some(image) = process.image() else {
            return Vec::new();
        };
        let Some(role) = self.role(process) else {
            return self.ran(process, image).into_iter().collect();
        };
        if role != Role::Go {
            let path = args::response_file(role, image);
            let effect = path.map(|path| Effect::ReadResponseFile {
                process: key,
                path,
                // The `go` command tells its tools.
                version: image
                    .set("GOVERSION")
                    .and_then(|it| GoVersion::parse(&it.to_str())),
            });
            let link = (role == Role::Link).then(|| self.linked(process, image));
            return effect.into_iter().chain(link.flatten()).collect();
        }
        if process.settings.is_some() || process.is_telemetry() {
            return Vec::new();
        }
        let settings = setting::question(key, image);
        let checkout = origin::question(key, image);
        [settings].into_iter().chain(checkout).collect()
    }

    /// The outputs of a process that has just ended are final.
    fn inspect(&self, key: ProcKey) -> Vec<Effect> {
        output::made_by(self, key)
            .into_iter()
            .filter(output::stays)
            .map(|it| Effect::Inspect {
                process: key,
                uid: self
                    .table
                    .get(key)
                    .and_then(Process::image)
                    .map_or(0, |it| it.uid),
                path: it.path,
            })
            .collect()
    }

    /// What the `go` command tells a linker of the program that it will run. That one may be gone by the time it is looked at.
    fn linked(&self, process: &Process, image: &Image) -> Option<Effect> {
        let link = args::parsed(Role::Link, process).filter(|it| !it.is_query)?;
        self.runner(process)?;
        Some(Effect::ReadBuildInfo {
            process: process.key,
            path: link
                .importcfg
                .filter(|it| it.as_bytes().starts_with(b"/"))?,
            uid: image.uid,
        })
    }

    /// A program that `go run` or `go tool` takes from the build cache.
    fn ran(&self, process: &Process, image: &Image) -> Option<Effect> {
        let head = self.runner(process)?;
        let path = purpose::built_program(image, &head).filter(|it| head.has_cached(it))?;
        Some(Effect::ReadBuildInfo {
            process: process.key,
            path: path.clone(),
            uid: image.uid,
        })
    }

    /// The `go run` or `go tool` that a process is under.
    fn runner(&self, process: &Process) -> Option<Head<'_>> {
        let head = Head::of(self.table.get(family::above(self, process)?)?);
        head.is_runner().then_some(head)
    }

    /// What the process's program is in a Go toolchain: by the content of the file, else, where that could not be read,
    /// by where it lies.
    fn role(&self, process: &Process) -> Option<Role> {
        let image = process.image()?;
        role(&self.tools, image.file, &image.exe)
    }

    fn tool_of(&self, process: &Process) -> Option<&Tool> {
        self.tools.get(&process.image()?.file)
    }

    fn used_tools(&self) -> Vec<ToolProgram> {
        let used: BTreeSet<FileId> = self
            .table
            .processes()
            .flat_map(|it| it.images.iter().map(|image| image.file))
            .collect();
        self.tools
            .values()
            .filter(|it| used.contains(&it.file))
            .map(|it| ToolProgram {
                path: it.path.clone(),
                role: it.role,
                version: it.version.clone(),
                attached: it.attached.clone(),
                refused: it.refused.clone(),
            })
            .collect()
    }

    fn anomalies(&self) -> Vec<Anomaly> {
        let mut anomalies = losses(self.lost.iter());
        if self.counts.unreadable > 0 {
            anomalies.push(Anomaly::Unreadable {
                n: self.counts.unreadable,
            });
        }
        anomalies.extend(self.table.anomalies());
        anomalies
    }
}

/// One anomaly for each kind of lost record.
fn losses<'a>(lost: impl Iterator<Item = &'a Lost>) -> Vec<Anomaly> {
    let mut by_kind: BTreeMap<&str, u64> = BTreeMap::new();
    for it in lost {
        *by_kind.entry(&it.kind).or_default() += it.n;
    }
    by_kind
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(kind, n)| Anomaly::Lost {
            kind: kind.to_owned(),
            n,
        })
        .collect()
}
