//! A `go` process and its descendants, without nested `go` processes. This attributes each process to one `go` command.

use std::collections::{BTreeMap, BTreeSet};

use crate::byte_string::ByteString;
use crate::event::{ProcKey, Role};

use super::process::Process;
use super::purpose::{self, BuildHead};
use super::{Correlator, args};

/// Children of each process.
pub(super) type Children = BTreeMap<ProcKey, Vec<ProcKey>>;

/// A `go` process and its descendants.
pub(super) struct Subtree<'a> {
    pub(super) head: BuildHead<'a>,
    /// The nearest `go` ancestor.
    pub(super) above: Option<ProcKey>,
    /// Children of all processes.
    pub(super) children: &'a Children,
    /// Descendants that are not below a nested `go`. Includes programs run for the user, but not their descendants.
    pub(super) members: Vec<&'a Process>,
    /// Packages of test binaries, by the path that the linker wrote.
    pub(super) linked: BTreeMap<ByteString, ByteString>,
}

/// True if the process is a `go` command, other than one for telemetry.
pub(super) fn is_go(correlator: &Correlator, process: &Process) -> bool {
    correlator.role(process) == Some(Role::Go) && !process.is_telemetry()
}

impl<'a> Subtree<'a> {
    pub(super) fn of(
        correlator: &'a Correlator,
        head: &'a Process,
        children: &'a Children,
    ) -> Self {
        let above = above(correlator, head);
        let head = BuildHead::of(head);
        let members = below(correlator, &head, children);
        let linked = match head.command() {
            "test" => linked(correlator, &members),
            _ => BTreeMap::new(),
        };
        Self {
            head,
            above,
            children,
            members,
            linked,
        }
    }
}

/// Packages of programs, by the path that the linker wrote.
pub(super) fn linked(
    correlator: &Correlator,
    members: &[&Process],
) -> BTreeMap<ByteString, ByteString> {
    let links = members.iter().filter_map(|it| {
        let role = correlator.role(it).filter(|it| *it == Role::Link)?;
        let link = args::parsed(role, it)?;
        Some((link.output?, link.package?))
    });
    links.collect()
}

/// Descendants of a process in order of their start. Excludes nested `go` commands, and descendants of both these and programs run
/// for the user.
pub(super) fn below<'a>(
    correlator: &'a Correlator,
    head: &BuildHead<'a>,
    children: &Children,
) -> Vec<&'a Process> {
    let is_for_user = |it: &Process| purpose::kind(correlator, it, head).is_for_user();
    let mut members = descend(correlator, head.process, children, |it| !is_for_user(it));
    members.sort_by_key(|it| (it.start, it.key));
    members
}

/// Descendants of a process in no order, without nested `go` commands and their descendants.
pub(super) fn under<'a>(
    correlator: &'a Correlator,
    process: &Process,
    children: &Children,
) -> Vec<&'a Process> {
    descend(correlator, process, children, |_| true)
}

/// Children of a process without nested `go` commands, and recursively the children of those for which `goes_on` is true.
fn descend<'a>(
    correlator: &'a Correlator,
    top: &Process,
    children: &Children,
    goes_on: impl Fn(&Process) -> bool,
) -> Vec<&'a Process> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([top.key]);
    let mut next = vec![top.key];
    while let Some(key) = next.pop() {
        let below = children.get(&key).into_iter().flatten();
        for process in below.filter_map(|it| correlator.table.get(*it)) {
            if is_go(correlator, process) || !seen.insert(process.key) {
                continue;
            }
            found.push(process);
            if goes_on(process) {
                next.push(process.key);
            }
        }
    }
    found
}

/// The nearest `go` ancestor of a process.
pub(super) fn above(correlator: &Correlator, process: &Process) -> Option<ProcKey> {
    let mut seen = BTreeSet::from([process.key]);
    let mut at = process.parent;
    while let Some(key) = at.filter(|it| seen.insert(*it)) {
        let parent = correlator.table.get(key)?;
        if is_go(correlator, parent) {
            return Some(key);
        }
        at = parent.parent;
    }
    None
}
