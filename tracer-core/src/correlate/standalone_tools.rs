//! Builds from Go tools that no `go` command started: Bazel's rules, a hand-written script. Tools with the same parent are one build.

use std::collections::BTreeMap;

use crate::event::{ProcKey, Role};
use crate::model::{Build, Command};
use crate::origin::{Ci, TraceContext};

use super::Correlator;
use super::args;
use super::build;
use super::failure;
use super::output;
use super::process::{Process, total};
use super::purpose::BuildHead;
use super::setting::Resolved;
use super::subtree::{self, Children, Subtree};

/// One build for each process that started tools itself.
pub(super) fn builds(correlator: &Correlator, children: &Children) -> Vec<Build> {
    let mut groups: BTreeMap<Option<ProcKey>, Vec<&Process>> = BTreeMap::new();
    for process in correlator
        .table
        .processes()
        .filter(|it| is_tool(correlator, it))
    {
        let parent = process.parent.and_then(|it| correlator.table.get(it));
        let is_inner = parent.is_some_and(|it| is_tool(correlator, it));
        if !is_inner && subtree::above(correlator, process).is_none() {
            // The process above the first followed one is not followed, but named.
            let above = process.above.first().map(|it| it.process);
            let parent = process.parent.or(above);
            groups.entry(parent).or_default().push(process);
        }
    }
    groups
        .into_values()
        .filter_map(|tools| group(correlator, tools, children))
        .collect()
}

/// True if a tool worked in the work directory of a `go` command. If such a tool is the first process that was seen, its `go` command began
/// before tracing. A part of a build is not a build.
fn is_in_work_directory(correlator: &Correlator, process: &Process) -> bool {
    let role = correlator.role(process);
    let args = role.and_then(|role| args::parsed(role, process));
    args.is_some_and(|it| it.work.is_some())
}

fn is_tool(correlator: &Correlator, process: &Process) -> bool {
    correlator.role(process).is_some_and(|it| it != Role::Go)
}

fn group(correlator: &Correlator, mut tools: Vec<&Process>, children: &Children) -> Option<Build> {
    tools.sort_by_key(|it| (it.start, it.key));
    let head = *tools.first()?;
    let below = tools
        .iter()
        .flat_map(|it| subtree::below(correlator, &BuildHead::of(it), children));
    let mut members: Vec<&Process> = tools.iter().copied().chain(below).collect();
    members.sort_by_key(|it| (it.start, it.key));
    members.dedup_by_key(|it| it.key);
    let subtree = Subtree {
        head: BuildHead::of(head),
        above: None,
        children,
        members,
        linked: BTreeMap::new(),
    };
    let calls = build::calls(correlator, &subtree);
    let is_first = correlator.table.root().map(|it| it.key) == Some(head.key);
    let is_of_go = is_first && tools.iter().any(|it| is_in_work_directory(correlator, it));
    if is_of_go || calls.iter().all(|it| it.is_query) {
        return None;
    }
    let resolved = Resolved::of(correlator, &subtree);
    let failed = calls.iter().find(|it| it.is_decisive(head.key));
    let status = failed.or(calls.last()).and_then(|it| it.status);
    let mut outputs: Vec<_> = subtree
        .members
        .iter()
        .flat_map(|it| output::made_by(correlator, it.key))
        .collect();
    outputs.sort_by_key(|it| it.at);
    Some(Build {
        process: head.key,
        parent: None,
        above: head.above.clone(),
        command: Command {
            name: "tools".to_owned(),
            argv: head.image().map(|it| it.argv.clone()).unwrap_or_default(),
            ..Command::default()
        },
        dir: head.image().and_then(|it| it.cwd.clone()),
        toolchain: resolved.toolchain,
        goflags: resolved.goflags,
        env: resolved.variables,
        ci: head.image().and_then(|it| Ci::of(&it.env)),
        trace_context: head.image().and_then(|it| TraceContext::of(&it.env)),
        checkout: None,
        place: None,
        module: None,
        start: head.start,
        end: calls.iter().filter_map(|it| it.end).max(),
        status,
        failure: failure::of_tools(head.key, status, &calls),
        usage: total(subtree.members.iter().copied()),
        packages: build::packages(correlator, head, &[], &calls, None),
        actions: Vec::new(),
        keys: Vec::new(),
        imports: None,
        stages: Vec::new(),
        outputs,
        anomalies: build::anomalies(correlator, &subtree, &calls),
        calls,
    })
}
