//! The cost of each package: all calls that compiled it.
//!
//! Linking, vetting and testing are excluded; links have their own list.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::tree::{Node, Tree};
use super::{Interval, PhaseTime, interval, module};
use crate::byte_string::ByteString;
use crate::model::{CallKind, SourceModule, ToolCall};

/// A package whose compilation was attempted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PackageTime {
    pub package: ByteString,
    /// Absent if it is not known.
    pub module: Option<SourceModule>,
    /// Time in which at least one call worked on the package.
    pub running_ns: u64,
    /// Part of that time in which nothing else ran in the build.
    pub alone_ns: u64,
    pub cpu_ns: u64,
    /// Largest resident set of one process. `None` if unknown for all.
    pub max_rss_bytes: Option<u64>,
    /// Calls of compiler, assembler, cgo and C tools.
    pub runs: u64,
    pub failed: bool,
    /// Phases of the Go compiler, in order.
    pub phases: Vec<PhaseTime>,
}

pub(super) fn packages(tree: &Tree<'_>) -> Vec<PackageTime> {
    let working: Vec<&Node<'_>> = tree.working().collect();
    let spans: Vec<Interval> = working.iter().map(|it| it.interval).collect();
    let alone: BTreeMap<usize, u64> = working
        .iter()
        .map(|it| it.index)
        .zip(interval::alone(&spans))
        .collect();

    let mut packages: BTreeMap<&ByteString, Vec<&Node<'_>>> = BTreeMap::new();
    for node in tree
        .nodes()
        .iter()
        .filter(|it| !it.is_query && compiles(it.root_kind))
    {
        // A nested call belongs to the package of its outermost call, even without a package in its own environment.
        let package = tree
            .nodes()
            .get(node.root)
            .and_then(|root| root.call.package.as_ref())
            .or(node.call.package.as_ref());
        if let Some(package) = package {
            packages.entry(package).or_default().push(node);
        }
    }
    let mut packages: Vec<PackageTime> = packages
        .into_iter()
        .map(|(package, nodes)| PackageTime {
            package: package.clone(),
            module: module::of_package(&nodes),
            running_ns: interval::union(nodes.iter().map(|it| it.interval)),
            alone_ns: super::sum(nodes.iter().filter_map(|it| alone.get(&it.index).copied())),
            cpu_ns: super::sum(nodes.iter().map(|it| it.cpu_ns())),
            max_rss_bytes: nodes
                .iter()
                .map(|it| it.call.usage.max_rss_bytes)
                .max()
                .flatten(),
            runs: nodes
                .iter()
                .filter(|it| it.call.kind != CallKind::Other)
                .count() as u64,
            failed: nodes.iter().any(|it| {
                it.is_root() && it.call.status.is_some_and(|status| !status.is_success())
            }),
            phases: longest_compile(&nodes).map(phases).unwrap_or_default(),
        })
        .collect();
    module::add_generated(&mut packages);
    packages.sort_by_key(|it| std::cmp::Reverse((it.running_ns, it.cpu_ns)));
    packages
}

/// Phases of a call with their times, in order. A phase without a seen end lasts until the end of its process.
pub(super) fn phases(call: &ToolCall) -> Vec<PhaseTime> {
    let mut phases = Vec::with_capacity(call.phases.len());
    add_phases(&mut phases, call);
    phases
}

/// Phases of all compilers together.
pub(super) fn compiler_phases(tree: &Tree<'_>) -> Vec<PhaseTime> {
    let mut phases = Vec::new();
    for node in tree
        .nodes()
        .iter()
        .filter(|it| it.call.kind == CallKind::Compile && !it.is_query)
    {
        add_phases(&mut phases, node.call);
    }
    phases
}

fn add_phases(phases: &mut Vec<PhaseTime>, call: &ToolCall) {
    for phase in &call.phases {
        let Some(end) = phase.end.or(call.end) else {
            continue;
        };
        let ns = end.since(phase.start);
        match phases.iter_mut().find(|it| it.name == phase.name) {
            Some(same) => same.ns = same.ns.saturating_add(ns),
            None => phases.push(PhaseTime {
                name: phase.name.clone(),
                ns,
            }),
        }
    }
}

fn longest_compile<'a>(nodes: &[&Node<'a>]) -> Option<&'a ToolCall> {
    nodes
        .iter()
        .filter(|it| it.call.kind == CallKind::Compile)
        .max_by_key(|it| it.wall_ns())
        .map(|it| it.call)
}

/// True if a call of this kind is part of the compilation of a package.
fn compiles(kind: CallKind) -> bool {
    match kind {
        CallKind::Compile
        | CallKind::Asm
        | CallKind::Cgo
        | CallKind::Cover
        | CallKind::Pack
        | CallKind::GoTool
        | CallKind::Cc
        | CallKind::As
        | CallKind::Ld => true,
        CallKind::Link
        | CallKind::Vet
        | CallKind::Vcs
        | CallKind::Test
        | CallKind::Program
        | CallKind::Generate
        | CallKind::Other => false,
    }
}
