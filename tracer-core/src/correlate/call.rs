//! Describes a process as a run of a tool: kind, package and phases.

use std::collections::BTreeSet;

use crate::byte_string::ByteString;
use crate::event::ProcKey;
use crate::model::{CallKind, ToolCall};

use super::Correlator;
use super::args::parsed;
use super::module;
use super::process::{Image, Process, ProcessEnd, total};
use super::purpose::{self, BuildHead};
use super::subtree::{self, Subtree};

/// The tool run of a process; `None` if the process never executed a program, or is the `go` command's own helper.
pub(super) fn call(
    correlator: &Correlator,
    process: &Process,
    subtree: &Subtree<'_>,
) -> Option<ToolCall> {
    let head = &subtree.head;
    let image = process.image().filter(|_| !process.is_telemetry())?;
    let args = correlator
        .role(process)
        .and_then(|role| parsed(role, process));
    let kind = purpose::kind(correlator, process, head);
    let is_query = match &args {
        Some(args) => args.is_query,
        None => asks_compiler(process, image, kind, head),
    };
    let module = args
        .as_ref()
        .and_then(|it| module::of(process, it, head.process));
    Some(ToolCall {
        process: process.key,
        parent: process.parent_tgid.unwrap_or(head.process.key.tgid),
        started_by: started_by(correlator, process),
        kind,
        program: ByteString::from(image.program()),
        package: match args {
            Some(args) => args.package,
            None if kind == CallKind::Test => tested(image, subtree),
            None if kind.is_for_user() => None,
            None => image.set("TOOLEXEC_IMPORTPATH").cloned(),
        },
        module,
        is_query,
        start: process.start,
        end: process.end.as_ref().map(|it| it.at),
        status: process.end.as_ref().map(|it| it.status),
        killed_by: process.end.as_ref().and_then(ProcessEnd::killed_by),
        // A process under a program of the user belongs to that program and is not a separate call.
        usage: if kind.is_for_user() {
            let under = subtree::under(correlator, process, subtree.children);
            total(under.into_iter().chain([process]))
        } else {
            process.usage
        },
        // A query reaches the first phase and stops: that is not work.
        phases: if is_query {
            Vec::new()
        } else {
            process.phases()
        },
        gc_cycles: process.gc_cycles.clone(),
    })
}

/// The package of a test binary: the same `go` command linked it for that package, without `.test`.
fn tested(image: &Image, subtree: &Subtree<'_>) -> Option<ByteString> {
    let program = purpose::built_program(image, &subtree.head)?;
    let package = subtree.linked.get(program)?;
    let path = package.as_bytes().strip_suffix(b".test");
    Some(path.map_or_else(|| package.clone(), ByteString::from))
}

/// True if the `go` command queries the C compiler for its version or its supported flags (`gcc -### -x c -c -`). Such a query is a direct
/// child and has no package (`work.(*Builder).gccToolID`, `.gccSupportsFlag`).
fn asks_compiler(process: &Process, image: &Image, kind: CallKind, head: &BuildHead<'_>) -> bool {
    process.parent == Some(head.process.key)
        && kind == CallKind::Cc
        && image.set("TOOLEXEC_IMPORTPATH").is_none()
}

/// The nearest process above that ran a program. A shell forks itself for a part of a script, and that part may start tools.
fn started_by(correlator: &Correlator, process: &Process) -> Option<ProcKey> {
    let mut at = process.parent?;
    let mut seen = BTreeSet::from([process.key]);
    while seen.insert(at) {
        let above = correlator.table.get(at);
        match above.filter(|it| it.image().is_none()).map(|it| it.parent) {
            Some(next) => at = next?,
            None => return Some(at),
        }
    }
    None
}
