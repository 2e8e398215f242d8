//! Links, and garbage collection in the tools.

use schemars::JsonSchema;
use serde::Serialize;

use super::tree::{Node, Tree};
use super::{PhaseTime, interval, package};
use crate::byte_string::ByteString;
use crate::model::CallKind;

/// One call of the Go linker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LinkTime {
    /// Index into the build's calls.
    pub call: u32,
    pub package: Option<ByteString>,
    pub wall_ns: u64,
    /// CPU time, including the nested C linker.
    pub cpu_ns: u64,
    /// Largest resident set of one process. `None` if unknown for all.
    pub max_rss_bytes: Option<u64>,
    pub failed: bool,
    /// Time in which a nested C compiler or linker ran; zero for an internal link.
    pub external_ns: u64,
    /// Longest first.
    pub phases: Vec<PhaseTime>,
}

/// Garbage collection. It runs concurrently with the tool's own work, so its time is not lost time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Gc {
    pub cycles: u64,
    /// Time in which a cycle ran, summed over the tools.
    pub ns: u64,
    /// Sum of the wall times of all compilers and linkers, of which `ns` is a part.
    pub of_ns: u64,
    /// Compilers and linkers with at least one cycle.
    pub tools: u64,
}

pub(super) fn links(tree: &Tree<'_>) -> Vec<LinkTime> {
    let links = tree
        .nodes()
        .iter()
        .filter(|it| it.call.kind == CallKind::Link && !it.is_query);
    let mut links: Vec<LinkTime> = links.filter_map(|link| link_time(link, tree)).collect();
    links.sort_by_key(|it| std::cmp::Reverse(it.wall_ns));
    links
}

fn link_time(link: &Node<'_>, tree: &Tree<'_>) -> Option<LinkTime> {
    let under: Vec<&Node<'_>> = tree
        .nodes()
        .iter()
        .filter(|it| it.root == link.root && it.index > link.index)
        .collect();
    let mut phases = package::phases(link.call);
    phases.sort_by_key(|it| std::cmp::Reverse(it.ns));
    Some(LinkTime {
        call: u32::try_from(link.index).ok()?,
        package: link.call.package.clone(),
        wall_ns: link.wall_ns(),
        cpu_ns: super::sum(under.iter().map(|it| it.cpu_ns())).saturating_add(link.cpu_ns()),
        max_rss_bytes: under
            .iter()
            .map(|it| it.call.usage.max_rss_bytes)
            .fold(link.call.usage.max_rss_bytes, Option::max),
        failed: link.call.status.is_some_and(|it| !it.is_success()),
        external_ns: interval::union(under.iter().map(|it| it.interval)),
        phases,
    })
}

pub(super) fn gc(tree: &Tree<'_>) -> Gc {
    let mut gc = Gc::default();
    let collects =
        |it: &&Node<'_>| matches!(it.call.kind, CallKind::Compile | CallKind::Link) && !it.is_query;
    for node in tree.nodes().iter().filter(collects) {
        let cycles = node.call.gc_cycles.iter();
        gc.cycles = gc.cycles.saturating_add(super::len(&node.call.gc_cycles));
        gc.ns = gc.ns.saturating_add(interval::union(
            cycles.map(|it| (it.start, it.end.unwrap_or(node.interval.1))),
        ));
        gc.of_ns = gc.of_ns.saturating_add(node.wall_ns());
        gc.tools += u64::from(!node.call.gc_cycles.is_empty());
    }
    gc
}
