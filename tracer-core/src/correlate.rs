//! The state machine in the middle: events enter, effects and builds leave.
//!
//! [`Correlator::apply`] only stores each event with its process, and requests facts that will not be available later.
//! [`Correlator::finish`] makes all decisions, when every event is known, from the stored facts. The order of events of different processes
//! therefore does not matter. A missing event leaves a named gap instead of a wrong result.

mod action;
mod args;
mod build;
mod call;
mod failure;
mod import;
mod key;
mod module;
mod name;
mod origin;
mod output;
mod process;
mod purpose;
mod setting;
mod standalone_tools;
mod subtree;
mod table;
mod test_key;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::byte_string::ByteString;
use crate::effect::Effect;
use crate::event::{Artifact, Event, FileId, Ktime, Lost, ProcKey, Role, Tool};
use crate::golang::version::GoVersion;
use crate::model::{Anomaly, EventCounts, SCHEMA, ToolProgram, Trace};

use process::{Image, Process};
use purpose::BuildHead;
use table::Table;

/// Facts that are known before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Name of the machine.
    pub host: Option<String>,
    /// The traced command, redacted.
    pub command: Vec<ByteString>,
    pub boot_to_wall_ns: i64,
    pub cpus: u32,
    /// True if phases were requested. Only then is a missing phase a gap.
    pub phases: bool,
    /// True if renames were recorded. Only then does a missing rename have a meaning.
    pub renames: bool,
}

/// The role of a program: by its file, or by its path if the file was not read.
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
    /// When the probes of a tool changed, because the level of detail did.
    probes_changed: BTreeMap<FileId, Vec<Ktime>>,
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

    /// Applies one event; returns the effects that the rim must carry out.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Fork(fork) => {
                self.counts.forks += 1;
                self.extend_to(fork.at);
                self.table.fork(&fork);
                Vec::new()
            }
            Event::Exec(exec) => {
                self.counts.execs += 1;
                self.extend_to(exec.at);
                self.exec(*exec)
            }
            Event::Exit(exit) => {
                self.counts.exits += 1;
                self.extend_to(exit.at);
                self.table.exit(&exit);
                self.inspect(exit.process)
            }
            Event::Reaped(reaped) => {
                self.counts.reaped += 1;
                // The kernel may release the process much later, for unrelated reasons.
                if let Some(ended) = reaped.ended {
                    self.extend_to(ended);
                }
                self.table.update(reaped.process, |it| it.reaped(&reaped));
                Vec::new()
            }
            Event::Rename(rename) => {
                self.counts.renames += 1;
                self.extend_to(rename.at);
                self.table
                    .of(rename.process, rename.at)
                    .renames
                    .push(rename);
                Vec::new()
            }
            Event::Call(call) => {
                self.counts.calls += 1;
                self.extend_to(call.at);
                self.table.of(call.process, call.at).called(&call);
                Vec::new()
            }
            Event::Lineage(lineage) => {
                self.extend_to(lineage.at);
                self.table.of(lineage.process, lineage.at).above = lineage.above;
                Vec::new()
            }
            Event::Tool(tool) => self.tool(tool),
            Event::Settings(settings) => {
                self.table
                    .update(settings.process, |it| it.settings = Some(settings));
                Vec::new()
            }
            Event::ResponseFile(file) => {
                self.table
                    .update(file.process, |it| it.response = Some(file.args));
                Vec::new()
            }
            Event::Inspected(inspected) => {
                self.artifacts
                    .insert((inspected.process, inspected.path), inspected.result);
                Vec::new()
            }
            Event::CheckedOut(answer) => {
                self.table
                    .update(answer.process, |it| it.checkout = answer.checkout);
                Vec::new()
            }
            Event::BuildInfo(answer) => {
                self.table
                    .update(answer.process, |it| it.build_info = answer.main);
                Vec::new()
            }
            Event::Lost(lost) => {
                self.counts.lost += lost.n;
                self.extend_to(lost.at);
                self.lost.push(lost);
                Vec::new()
            }
            Event::Unreadable(_) => {
                self.counts.unreadable += 1;
                Vec::new()
            }
        }
    }

    /// The number of processes that are still running, as far as was seen.
    pub fn n_running(&self) -> usize {
        self.table.processes().filter(|it| it.end.is_none()).count()
    }

    /// The number of processes whose exit was seen, but not their final times.
    pub fn n_unreaped(&self) -> usize {
        let ended = self.table.processes().filter(|it| it.end.is_some());
        ended.filter(|it| !it.usage.is_final).count()
    }

    /// True if a process runs a Go tool, as far as its file or its path shows.
    pub(crate) fn is_tool(&self, process: ProcKey) -> bool {
        self.table
            .get(process)
            .is_some_and(|it| self.role(it).is_some())
    }

    /// True if any process runs a Go tool, as far as its file or its path shows.
    pub(crate) fn has_tool(&self) -> bool {
        self.table.processes().any(|it| self.role(it).is_some())
    }

    /// Ends the trace: returns everything that was seen, as builds.
    pub fn finish(self) -> Trace {
        self.so_far()
    }

    /// Everything that was seen so far, as builds.
    pub(crate) fn so_far(&self) -> Trace {
        let children = self.table.children();
        let mut builds = build::builds(self, &children);
        builds.extend(standalone_tools::builds(self, &children));
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

    fn extend_to(&mut self, at: Ktime) {
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
        effects.extend(self.requests(key));
        effects
    }

    /// A tool was identified: processes that already run it may need effects.
    fn tool(&mut self, tool: Tool) -> Vec<Effect> {
        let (file, at) = (tool.file, tool.at);
        let attached = tool.attached.clone();
        if let Some(before) = self.tools.insert(file, tool)
            && before.attached != attached
        {
            self.probes_changed.entry(file).or_default().push(at);
            return Vec::new();
        }
        let waiting: Vec<ProcKey> = self
            .table
            .processes()
            .filter(|it| it.end.is_none() && it.image().is_some_and(|image| image.file == file))
            .map(|it| it.key)
            .collect();
        waiting
            .into_iter()
            .flat_map(|key| self.requests(key))
            .collect()
    }

    /// Facts that must be read while the process lives.
    fn requests(&self, key: ProcKey) -> Vec<Effect> {
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
                // The `go` command passes its version to its tools.
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
        let settings = setting::request(key, image);
        let checkout = origin::request(key, image);
        [settings].into_iter().chain(checkout).collect()
    }

    /// The outputs of a process that has just ended are final.
    fn inspect(&self, key: ProcKey) -> Vec<Effect> {
        output::made_by(self, key)
            .into_iter()
            .filter(output::persists)
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

    /// The main package that the `go` command passes to a linker, for a program that it will run. The program itself may be gone before it
    /// can be read.
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

    /// A program that `go run` or `go tool` runs from the build cache.
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
    fn runner(&self, process: &Process) -> Option<BuildHead<'_>> {
        let head = BuildHead::of(self.table.get(subtree::above(self, process)?)?);
        head.is_runner().then_some(head)
    }

    /// The role of the process's program in a Go toolchain: by the content of the file, or by its path if the content could not be read.
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
