//! Groups processes into builds: each `go` process is a build, together with everything under it down to the next `go`.

use std::collections::{BTreeMap, BTreeSet};

use crate::byte_string::ByteString;
use crate::event::{Ktime, ProcKey, Role, Status, Usage};
use crate::golang::command::GoCommand;
use crate::model::{
    Action, Anomaly, Build, CallKind, FailureClass, Installed, Outcome, Output, Packages, ToolCall,
};
use crate::origin::{Ci, TraceContext};

use super::failure::Seen;
use super::name::Names;
use super::process::{Image, Process, total};
use super::subtree::{Children, Subtree, is_go, linked};
use super::{Correlator, action, call, failure, import, key, losses, output, purpose, setting};

/// All builds of a trace, but those of tools with no `go` above them.
pub(super) fn builds(correlator: &Correlator, children: &Children) -> Vec<Build> {
    let commands = correlator
        .table
        .processes()
        .filter(|it| is_go(correlator, it));
    let (mut builds, others): (Vec<Build>, Vec<Build>) = commands
        .map(|head| build(correlator, &Subtree::of(correlator, head, children)))
        .partition(is_build);
    let others: BTreeMap<ProcKey, Option<ProcKey>> =
        others.iter().map(|it| (it.process, it.parent)).collect();
    for build in &mut builds {
        build.parent = nearest(build.parent, &others);
    }
    builds
}

/// True if a `go` command is a build: because of its purpose, or because it ran a tool for a package (`go list -export`).
fn is_build(build: &Build) -> bool {
    let command = GoCommand::parse(&build.command.argv, &[]);
    let works = |it: &ToolCall| {
        let is_tool = matches!(
            it.kind,
            CallKind::Compile
                | CallKind::Asm
                | CallKind::Cgo
                | CallKind::Link
                | CallKind::Vet
                | CallKind::Cover
                | CallKind::Pack
        );
        is_tool && !it.is_query
    };
    command.is_build() || build.calls.iter().any(works)
}

/// The nearest build at or above a `go` command. `others` are the commands that are not builds.
fn nearest(
    mut at: Option<ProcKey>,
    others: &BTreeMap<ProcKey, Option<ProcKey>>,
) -> Option<ProcKey> {
    // No chain is longer than this. The bound ends a cycle that a damaged recording might contain.
    for _ in 0..=others.len() {
        match at.and_then(|it| others.get(&it)) {
            Some(above) => at = *above,
            None => return at,
        }
    }
    None
}

fn build(correlator: &Correlator, subtree: &Subtree<'_>) -> Build {
    let head = subtree.head.process;
    let calls = calls(correlator, subtree);
    let mut actions = action::actions(&subtree.head, &calls);
    let seen = Seen {
        calls: &calls,
        actions: &actions,
    };
    let environment = setting::Resolved::of(correlator, subtree);
    let status = head.end.as_ref().map(|it| it.status);
    let command = setting::command(head, &environment);
    let mut outputs = outputs(correlator, subtree, &calls);
    let names = Names {
        correlator,
        subtree,
        command: &command,
        resolved: &environment,
    };
    names.outputs(&mut outputs);
    let module = names.module(&outputs);
    let mut failure = failure::failure(correlator, subtree, &seen);
    let not_compiled = failure
        .as_ref()
        .filter(|it| it.class == FailureClass::Compile)
        .and_then(|it| it.package.clone());
    let packages = packages(correlator, head, &actions, &calls, not_compiled.as_ref());
    if let Some(failure) = &mut failure {
        if failure.class == FailureClass::Install {
            failure.package = action::fail_install(&mut actions, correlator, head);
        }
        failure.package = failure.package.take().map(|it| names.package(it));
    }
    let names_packages = !command.packages.is_empty();
    let keys = key::keys(correlator, head, &actions, &calls, names_packages);
    let imports = import::imports(correlator, head, &keys);
    Build {
        process: head.key,
        parent: subtree.above,
        above: head.above.clone(),
        dir: setting::dir(head),
        toolchain: environment.toolchain.clone(),
        goflags: environment.goflags.clone(),
        env: environment.variables.clone(),
        ci: head.image().and_then(|it| Ci::of(&it.env)),
        trace_context: head.image().and_then(|it| TraceContext::of(&it.env)),
        checkout: head.checkout.clone(),
        place: head.settings.as_ref().and_then(|it| it.place.clone()),
        module,
        start: began(correlator, head),
        end: head.end.as_ref().map(|it| it.at),
        status,
        usage: usage(correlator, subtree),
        packages,
        failure,
        stages: action::stages(head),
        outputs,
        command,
        anomalies: anomalies(correlator, subtree, &calls),
        keys,
        imports,
        actions,
        calls,
    }
}

/// A process may run another program before it becomes the `go` command: that time does not belong to the build.
fn began(correlator: &Correlator, head: &Process) -> Ktime {
    let is_tool = |it: &Image| super::role(&correlator.tools, it.file, &it.exe).is_some();
    match head.images.iter().position(is_tool) {
        None | Some(0) => head.start,
        Some(n) => head.images.get(n).map_or(head.start, |it| it.at),
    }
}

/// Runs of tools, in order of start. A process that never executed a program is not a run.
pub(super) fn calls(correlator: &Correlator, subtree: &Subtree<'_>) -> Vec<ToolCall> {
    subtree
        .members
        .iter()
        .filter_map(|it| call::call(correlator, it, subtree))
        .collect()
}

fn usage(correlator: &Correlator, subtree: &Subtree<'_>) -> Usage {
    total(
        subtree
            .members
            .iter()
            .copied()
            .filter(|it| !purpose::kind(correlator, it, &subtree.head).is_for_user())
            .chain([subtree.head.process]),
    )
}

/// Packages by outcome: from the tool runs, and from the spans for packages that needed none.
pub(super) fn packages(
    correlator: &Correlator,
    head: &Process,
    actions: &[Action],
    calls: &[ToolCall],
    not_compiled: Option<&ByteString>,
) -> Packages {
    let mut compiled = BTreeSet::new();
    // Any failed process of the package counts: a wrapper, `pkg-config`.
    let mut failed: BTreeSet<&ByteString> = not_compiled.into_iter().collect();
    for call in calls.iter().filter(|it| !it.is_query) {
        let Some(package) = &call.package else {
            continue;
        };
        let builds_package = match call.kind {
            CallKind::Compile | CallKind::Asm | CallKind::Cgo | CallKind::Cover | CallKind::Cc => {
                true
            }
            CallKind::Link
            | CallKind::Vet
            | CallKind::Pack
            | CallKind::GoTool
            | CallKind::As
            | CallKind::Ld
            | CallKind::Vcs
            | CallKind::Test
            | CallKind::Program
            | CallKind::Generate
            | CallKind::Other => false,
        };
        if builds_package && call.is_decisive(head.key) {
            failed.insert(package);
        } else if call.kind == CallKind::Compile {
            compiled.insert(package);
        }
    }
    compiled.retain(|it| !failed.contains(it));
    let cached: BTreeSet<&ByteString> = actions
        .iter()
        .filter(|it| it.mode == "build" && it.outcome == Outcome::Cached)
        .filter_map(|it| it.package.as_ref())
        .filter(|it| **it != "unsafe")
        .collect();
    let has_spans = correlator
        .tool_of(head)
        .is_some_and(|it| it.attached.iter().any(|name| name == "span_start"));
    let n = |set: &BTreeSet<&ByteString>| u32::try_from(set.len()).unwrap_or(u32::MAX);
    Packages {
        compiled: n(&compiled),
        failed: n(&failed),
        cached: (has_spans && correlator.context.phases && !setting::is_dry_run(head))
            .then(|| n(&cached)),
    }
}

fn outputs(correlator: &Correlator, subtree: &Subtree<'_>, calls: &[ToolCall]) -> Vec<Output> {
    let mut outputs = output::made_by(correlator, subtree.head.process.key);
    for (process, call) in subtree.members.iter().filter_map(|process| {
        let call = calls.iter().find(|it| it.process == process.key)?;
        Some((process, call))
    }) {
        match call.kind {
            CallKind::Program | CallKind::Test => {
                let ran = output::ran(process, &subtree.head);
                outputs.extend(ran.map(|it| Output {
                    package: made_from(correlator, subtree),
                    ..it
                }));
            }
            CallKind::Link | CallKind::Compile => {
                outputs.extend(output::made_by(correlator, process.key));
            }
            CallKind::Asm
            | CallKind::Cgo
            | CallKind::Vet
            | CallKind::Cover
            | CallKind::Pack
            | CallKind::GoTool
            | CallKind::Cc
            | CallKind::As
            | CallKind::Ld
            | CallKind::Vcs
            | CallKind::Generate
            | CallKind::Other => {}
        }
    }
    outputs.sort_by_key(|it| it.at);
    outputs
}

/// The main package of the program that `go run` or `go tool` runs: such a command makes at most one.
fn made_from(correlator: &Correlator, subtree: &Subtree<'_>) -> Option<ByteString> {
    if !subtree.head.is_runner() {
        return None;
    }
    let main = subtree.members.iter().find_map(|it| it.build_info.as_ref());
    let main = main.map(|it| ByteString::from(it.path.as_str()));
    main.or_else(|| linked(correlator, &subtree.members).into_values().next())
}

pub(super) fn anomalies(
    correlator: &Correlator,
    subtree: &Subtree<'_>,
    calls: &[ToolCall],
) -> Vec<Anomaly> {
    let head = subtree.head.process;
    let end = head.end.as_ref().map(|it| it.at);
    let mut anomalies = losses(correlator.lost.iter().filter(|it| it.at >= head.start));
    for process in subtree.members.iter().copied().chain([head]) {
        anomalies.extend(process.anomalies());
        anomalies.extend(unprobed(correlator, process));
        if process.end.is_none() {
            anomalies.push(Anomaly::EndUnseen {
                process: process.key,
                program: process
                    .image()
                    .map(|it| ByteString::from(it.program()))
                    .unwrap_or_default(),
            });
        }
    }
    anomalies.extend(refused(correlator, subtree));
    if correlator.context.phases {
        anomalies.extend(calls.iter().filter_map(|it| unseen_phases(correlator, it)));
        let n = head.n_unpaired();
        if n > 0 {
            anomalies.push(Anomaly::SpanUnpaired {
                process: head.key,
                n,
            });
        }
    }
    if end.is_some() && correlator.context.renames {
        let unseen = output::made_by(correlator, head.key)
            .into_iter()
            .filter(|it| it.how == Installed::Announced)
            .map(|it| Anomaly::InstallUnseen { path: it.path });
        anomalies.extend(unseen);
    }
    anomalies
}

/// The tool started before its probes were attached, or never had probes because its file was gone too soon.
fn unprobed(correlator: &Correlator, process: &Process) -> Option<Anomaly> {
    let image = process.image()?;
    let Some(tool) = correlator.tools.get(&image.file) else {
        let role = correlator.role(process)?;
        return has_probes(role).then(|| Anomaly::ToolUnknown {
            process: process.key,
            path: image.exe.clone(),
        });
    };
    let changes = correlator.probes_changed.get(&image.file);
    let is_during =
        |at: &&Ktime| **at > image.at && process.end.as_ref().is_none_or(|it| it.at > **at);
    if changes.into_iter().flatten().any(|at| is_during(&at)) {
        return Some(Anomaly::ProbesChanged {
            process: process.key,
            path: tool.path.clone(),
        });
    }
    let is_probed = !tool.attached.is_empty() && changes.is_none();
    (is_probed && tool.at > image.at).then(|| Anomaly::ProbesLate {
        process: process.key,
        path: tool.path.clone(),
    })
}

/// True if gotrace probes tools of this role.
fn has_probes(role: Role) -> bool {
    match role {
        Role::Go | Role::Compile | Role::Link => true,
        Role::Asm
        | Role::Cgo
        | Role::Vet
        | Role::Cover
        | Role::Pack
        | Role::Preprofile
        | Role::Fix
        | Role::BuildId => false,
    }
}

fn refused(correlator: &Correlator, subtree: &Subtree<'_>) -> Vec<Anomaly> {
    let mut seen = BTreeSet::new();
    subtree
        .members
        .iter()
        .copied()
        .chain([subtree.head.process])
        .filter_map(|it| correlator.tool_of(it))
        .filter(|it| !it.refused.is_empty() && seen.insert(it.file))
        .map(|it| Anomaly::ProbesRefused {
            path: it.path.clone(),
            refused: it.refused.clone(),
        })
        .collect()
}

/// A compiler or linker that did its work and was probed in time, but reported no phase.
fn unseen_phases(correlator: &Correlator, call: &ToolCall) -> Option<Anomaly> {
    let process = correlator.table.get(call.process)?;
    let tool = correlator.tool_of(process)?;
    let probe = match tool.role {
        Role::Compile => "compile_phase",
        Role::Link => "link_phase",
        Role::Go
        | Role::Asm
        | Role::Cgo
        | Role::Vet
        | Role::Cover
        | Role::Pack
        | Role::Preprofile
        | Role::Fix
        | Role::BuildId => return None,
    };
    let started = process.image().map_or(Ktime(0), |it| it.at);
    let was_on = tool.at <= started && tool.attached.iter().any(|it| it == probe);
    let is_silent =
        !call.is_query && call.phases.is_empty() && call.status.is_some_and(Status::is_success);
    (was_on && is_silent).then_some(Anomaly::PhasesUnseen {
        process: call.process,
        role: tool.role,
    })
}
