//! All observed processes, by identity, and their parents and children.

use std::collections::BTreeMap;

use crate::event::{Captured, Exec, Exit, Fork, Ktime, ProcKey, Tgid};
use crate::model::Anomaly;

use super::process::{Image, Process};

#[derive(Debug, Default)]
pub(super) struct Table {
    processes: BTreeMap<ProcKey, Process>,
    /// The present process of each id.
    holders: BTreeMap<Tgid, ProcKey>,
    root: Option<ProcKey>,
    anomalies: Vec<Anomaly>,
}

impl Table {
    pub(super) fn get(&self, key: ProcKey) -> Option<&Process> {
        self.processes.get(&key)
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// The command's own process: the first that was seen.
    pub(super) fn root(&self) -> Option<&Process> {
        self.get(self.root?)
    }

    pub(super) fn anomalies(&self) -> impl Iterator<Item = Anomaly> {
        self.anomalies.iter().cloned()
    }

    pub(super) fn fork(&mut self, fork: &Fork) {
        self.of(fork.parent, fork.at);
        let known = self.processes.contains_key(&fork.child);
        let child = self.enter(fork.child, fork.at);
        // A fork that comes after its child's first event is late, not wrong.
        if child.parent.is_none() && fork.parent != fork.child {
            child.parent = Some(fork.parent);
            child.parent_tgid = Some(fork.parent.tgid);
        }
        if known {
            child.start = child.start.min(fork.at);
            self.anomalies.retain(|it| {
                *it != Anomaly::StartUnseen {
                    process: fork.child,
                }
            });
        }
    }

    pub(super) fn exec(&mut self, exec: Exec) {
        let parent = self.holders.get(&exec.parent).copied();
        let is_root = self.root.is_none();
        let process = self.of(exec.process, exec.at);
        if process.parent_tgid.is_none() && !is_root {
            process.parent_tgid = Some(exec.parent);
            process.parent = parent.filter(|it| *it != exec.process);
        }
        let mut cut = Vec::new();
        let image = Image {
            at: exec.at,
            file: exec.file,
            exe: whole(exec.exe, "path", &mut cut),
            cwd: Some(whole(exec.cwd, "working directory", &mut cut)).filter(|it| !it.is_empty()),
            argv: whole(exec.argv, "arguments", &mut cut),
            env: whole(exec.env, "environment", &mut cut),
            uid: exec.uid,
            cut,
        };
        process.images.push(image);
        process.images.sort_by_key(|it| it.at);
    }

    pub(super) fn exit(&mut self, exit: &Exit) {
        self.of(exit.process, exit.at).exited(exit);
        if self.holders.get(&exit.process.tgid) == Some(&exit.process) {
            self.holders.remove(&exit.process.tgid);
        }
    }

    /// The process of an event. The table adds it now if its start was not seen.
    pub(super) fn of(&mut self, key: ProcKey, at: Ktime) -> &mut Process {
        if !self.processes.contains_key(&key) {
            if self.root.is_none() {
                self.root = Some(key);
            } else {
                self.anomalies.push(Anomaly::StartUnseen { process: key });
            }
        }
        self.enter(key, at)
    }

    /// Stores the result of an effect. A result for an unknown process is ignored.
    pub(super) fn update(&mut self, key: ProcKey, file: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes.get_mut(&key) {
            file(process);
        }
    }

    fn enter(&mut self, key: ProcKey, at: Ktime) -> &mut Process {
        if !self.processes.contains_key(&key) {
            let last = self.holders.insert(key.tgid, key);
            if let Some(last) =
                last.filter(|it| self.processes.get(it).is_some_and(|it| it.end.is_none()))
            {
                self.anomalies.push(Anomaly::Reused { process: last });
            }
        }
        self.processes
            .entry(key)
            .or_insert_with(|| Process::new(key, at))
    }

    /// Children of each process, in order of birth.
    pub(super) fn children(&self) -> BTreeMap<ProcKey, Vec<ProcKey>> {
        let mut children: BTreeMap<ProcKey, Vec<ProcKey>> = BTreeMap::new();
        for process in self.processes.values() {
            if let Some(parent) = process.parent {
                children.entry(parent).or_default().push(process.key);
            }
        }
        for list in children.values_mut() {
            list.sort_by_key(|it| (it.born, it.tgid));
        }
        children
    }
}

/// The value, or its known part. If it is not whole, its name is added to `cut`.
fn whole<T: Default>(captured: Captured<T>, what: &'static str, cut: &mut Vec<&'static str>) -> T {
    match captured {
        Captured::Whole(value) => value,
        Captured::Cut { kept, .. } => {
            cut.push(what);
            kept
        }
        Captured::Missing => {
            cut.push(what);
            T::default()
        }
    }
}
