//! One process and its recorded facts. This module makes no decisions.

use std::collections::BTreeMap;

use crate::byte_string::ByteString;
use crate::environment;
use crate::event::{
    Ancestor, Call, Captured, Exit, FileId, Ktime, MainPackage, Point, ProcKey, Reaped, Rename,
    Role, Settings, Status, Tgid, Usage,
};
use crate::golang::tool::WorkDir;
use crate::model::{Anomaly, GcCycle, Killer, Phase};
use crate::origin::Checkout;

use super::args;
use super::key::Keys;

/// One program that a process ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) at: Ktime,
    pub(super) file: FileId,
    pub(super) exe: ByteString,
    pub(super) cwd: Option<ByteString>,
    pub(super) argv: Vec<ByteString>,
    pub(super) env: Vec<(ByteString, ByteString)>,
    pub(super) uid: u32,
    /// The fields above that were cut or unreadable.
    pub(super) cut: Vec<&'static str>,
}

impl Image {
    /// A variable that is set and not empty: Go treats an empty one as unset.
    pub(super) fn set(&self, name: &str) -> Option<&ByteString> {
        environment::get(&self.env, name).filter(|it| !it.is_empty())
    }

    /// True if it is in the work directory of a `go` command: a program of the user, linked there.
    pub(super) fn is_in_work_dir(&self) -> bool {
        WorkDir::of(self.exe.as_bytes()).is_some()
    }

    /// Last component of the program's path.
    pub(super) fn program(&self) -> &[u8] {
        self.exe
            .as_bytes()
            .rsplit(|it| *it == b'/')
            .next()
            .unwrap_or_default()
    }
}

/// A span of the `go` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoSpan {
    pub(super) name: String,
    pub(super) start: Ktime,
    pub(super) end: Option<Ktime>,
    /// The number of enclosing spans of the same goroutine.
    pub(super) depth: usize,
}

/// A file that the `go` command announced or started to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Install {
    pub(super) at: Ktime,
    pub(super) to: ByteString,
    /// The file that it is made from.
    pub(super) from: ByteString,
    /// True for the move itself, false for its announcement.
    pub(super) is_move: bool,
    /// The span that it happened in: an index into [`Process::spans`].
    pub(super) span: Option<usize>,
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProcessEnd {
    pub(super) at: Ktime,
    pub(super) status: Status,
    pub(super) is_oom_victim: bool,
}

impl ProcessEnd {
    /// The sender of the SIGKILL that ended the process, if one did.
    pub(super) fn killed_by(&self) -> Option<Killer> {
        const SIGKILL: u8 = 9;
        if self.status != Status::Signal(SIGKILL) {
            None
        } else if self.is_oom_victim {
            Some(Killer::OutOfMemoryKiller)
        } else {
            Some(Killer::Unknown)
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) key: ProcKey,
    pub(super) parent: Option<ProcKey>,
    /// The parent's number, which is known even if the parent was not seen.
    pub(super) parent_tgid: Option<Tgid>,
    pub(super) start: Ktime,
    pub(super) end: Option<ProcessEnd>,
    pub(super) usage: Usage,
    pub(super) images: Vec<Image>,
    pub(super) settings: Option<Settings>,
    pub(super) checkout: Option<Checkout>,
    /// The main package of the program that it linked or runs.
    pub(super) build_info: Option<MainPackage>,
    /// The ancestors of the first traced process.
    pub(super) above: Vec<Ancestor>,
    pub(super) response: Option<Captured<Vec<ByteString>>>,
    pub(super) spans: Vec<GoSpan>,
    /// Open spans by goroutine: indices into `spans`, innermost last.
    open: BTreeMap<u64, Vec<usize>>,
    pub(super) installs: Vec<Install>,
    /// Formats of the `go` command's fatal messages; empty for a format that could not be read.
    pub(super) fatal: Vec<String>,
    pub(super) renames: Vec<Rename>,
    /// Start of each phase; an empty name ends the last one.
    marks: Vec<(Ktime, String)>,
    pub(super) gc_cycles: Vec<GcCycle>,
    pub(super) keys: Keys,
}

impl Process {
    pub(super) fn new(key: ProcKey, start: Ktime) -> Self {
        Self {
            key,
            parent: None,
            parent_tgid: None,
            start,
            end: None,
            usage: Usage::default(),
            images: Vec::new(),
            settings: None,
            checkout: None,
            build_info: None,
            above: Vec::new(),
            response: None,
            spans: Vec::new(),
            open: BTreeMap::new(),
            installs: Vec::new(),
            fatal: Vec::new(),
            renames: Vec::new(),
            marks: Vec::new(),
            gc_cycles: Vec::new(),
            keys: Keys::default(),
        }
    }

    /// The program that did the work: the last one. Earlier programs were replaced by it (a wrapper, another toolchain). If a tool or a
    /// program of the user executes another program, that belongs to the first one's work (`link` becomes `ar` for an archive).
    pub(super) fn image(&self) -> Option<&Image> {
        let is_worker = |it: &&Image| {
            let role = args::role_by_path(&it.exe);
            role.is_some_and(|it| it != Role::Go) || it.is_in_work_dir()
        };
        let worker = self.images.iter().rev().find(is_worker);
        worker.or_else(|| self.images.last())
    }

    /// True for the `go` command's own helper process, which builds nothing.
    pub(super) fn is_telemetry(&self) -> bool {
        self.image()
            .and_then(|it| it.argv.get(1))
            .is_some_and(|it| it == "** telemetry **")
    }

    pub(super) fn exited(&mut self, exit: &Exit) {
        self.end = Some(ProcessEnd {
            at: exit.at,
            status: exit.status,
            is_oom_victim: exit.is_oom_victim,
        });
        self.usage = exit.usage;
    }

    /// Applies the final record after the exit: the times are complete now, and the process ended when its parent was notified.
    pub(super) fn reaped(&mut self, reaped: &Reaped) {
        let Some(end) = &mut self.end else {
            return;
        };
        end.at = end.at.max(reaped.ended.unwrap_or_default());
        end.is_oom_victim |= reaped.is_oom_victim;
        self.usage = Usage {
            user_ns: reaped.user_ns,
            system_ns: reaped.system_ns,
            is_final: true,
            ..self.usage
        };
    }

    pub(super) fn called(&mut self, call: &Call) {
        match &call.point {
            Point::SpanStart { name } => {
                let open = self.open.entry(call.goroutine).or_default();
                let depth = open.len();
                open.push(self.spans.len());
                self.spans.push(GoSpan {
                    name: text(name),
                    start: call.at,
                    end: None,
                    depth,
                });
            }
            Point::SpanDone => {
                let innermost = self.open.get_mut(&call.goroutine).and_then(Vec::pop);
                if let Some(span) = innermost.and_then(|it| self.spans.get_mut(it)) {
                    span.end = Some(call.at);
                }
            }
            Point::Install { target, built } => self.installed(call, target, built, false),
            Point::MoveOrCopy { to, from } => self.installed(call, to, from, true),
            Point::CompilePhase { name } | Point::LinkPhase { name } => {
                let name = text(name);
                // In a function without a stack check, the probe is on the first instruction and may fire twice per call.
                if self.marks.last().is_none_or(|(_, last)| *last != name) {
                    self.marks.push((call.at, name));
                }
            }
            Point::GcStart { heap_live } => self.gc_cycles.push(GcCycle {
                start: call.at,
                end: None,
                heap_live: *heap_live,
                heap_marked: None,
            }),
            Point::GcEnd { heap_marked } => {
                if let Some(cycle) = self.gc_cycles.last_mut().filter(|it| it.end.is_none()) {
                    cycle.end = Some(call.at);
                    cycle.heap_marked = *heap_marked;
                }
            }
            Point::Fatal { format } => self.fatal.push(text(format)),
            Point::KeyOpen { name } => {
                let span = self.innermost(call.goroutine);
                self.keys.open(call.goroutine, text(name), call.at, span);
            }
            Point::KeyWrite { hash, line } => self.keys.write(call.goroutine, *hash, line),
            Point::KeySum { hash } => self.keys.close(*hash),
        }
    }

    fn installed(
        &mut self,
        call: &Call,
        to: &Captured<ByteString>,
        from: &Captured<ByteString>,
        is_move: bool,
    ) {
        let Some(to) = to.get().filter(|it| !it.is_empty()) else {
            return;
        };
        self.installs.push(Install {
            at: call.at,
            to: to.clone(),
            from: from.get().cloned().unwrap_or_default(),
            is_move,
            span: self.innermost(call.goroutine),
        });
    }

    /// The innermost open span of a goroutine.
    fn innermost(&self, goroutine: u64) -> Option<usize> {
        self.open.get(&goroutine)?.last().copied()
    }

    /// Phases in order. Each lasts until the next begins; the last until the process ends.
    pub(super) fn phases(&self) -> Vec<Phase> {
        let ends = self
            .marks
            .iter()
            .skip(1)
            .map(|(at, _)| Some(*at))
            .chain([self.end.as_ref().map(|it| it.at)]);
        self.marks
            .iter()
            .zip(ends)
            .filter(|((_, name), _)| !name.is_empty())
            .map(|((start, name), end)| Phase {
                name: name.clone(),
                start: *start,
                end,
            })
            .collect()
    }

    /// Gaps in the facts of this process.
    pub(super) fn anomalies(&self) -> impl Iterator<Item = Anomaly> {
        self.images
            .iter()
            .flat_map(|it| it.cut.iter())
            .map(|what| Anomaly::Cut {
                process: self.key,
                what: (*what).to_owned(),
            })
    }

    /// The number of actions that began and did not end, in a process that ended with success.
    pub(super) fn n_unpaired(&self) -> u64 {
        let ended_well = self.end.as_ref().is_some_and(|it| it.status.is_success());
        let n = self
            .spans
            .iter()
            .filter(|it| it.end.is_none() && it.name.starts_with(super::action::EXECUTING))
            .count();
        if ended_well { n as u64 } else { 0 }
    }
}

fn text(captured: &Captured<ByteString>) -> String {
    captured
        .get()
        .map(|it| it.to_str().into_owned())
        .unwrap_or_default()
}

/// The CPU time of all processes, and the largest resident set of any.
pub(super) fn total<'a>(processes: impl Iterator<Item = &'a Process>) -> Usage {
    Usage::total(processes.map(|it| it.usage))
}
