//! Describes a process as a run of a tool: kind, package and phases.

use std::collections::BTreeSet;

use crate::byte_string::ByteString;
use crate::event::{Captured, ProcKey, Role};
use crate::golang::c_tool;
use crate::golang::tool::{self, ToolArgs};
use crate::model::{CallKind, ToolCall};

use super::Correlator;
use super::build::{self, Family};
use super::process::{Image, Process, total};
use super::purpose::{self, BuildHead, Purpose};

/// The tool run of a process; `None` if the process never executed a program, or is the `go` command's own helper.
pub(super) fn call(
    correlator: &Correlator,
    process: &Process,
    family: &Family<'_>,
) -> Option<ToolCall> {
    let head = &family.head;
    let image = process.image().filter(|_| !process.is_telemetry())?;
    let args = correlator
        .role(process)
        .and_then(|role| parsed(role, process));
    let kind = kind(correlator, process, head);
    let is_query = match &args {
        Some(args) => args.is_query,
        None => asks_compiler(process, image, kind, head),
    };
    Some(ToolCall {
        process: process.key,
        parent: process.parent_tgid.unwrap_or(head.process.key.tgid),
        started_by: started_by(correlator, process),
        kind,
        program: ByteString::from(image.program()),
        package: match args {
            Some(args) => args.package,
            None if kind == CallKind::Test => tested(image, family),
            None if kind.is_for_user() => None,
            None => image.set("TOOLEXEC_IMPORTPATH").cloned(),
        },
        is_query,
        start: process.start,
        end: process.end.as_ref().map(|it| it.at),
        status: process.end.as_ref().map(|it| it.status),
        // A process under a program of the user belongs to that program and is not a separate call.
        usage: if kind.is_for_user() {
            let under = build::under(correlator, process, family.children);
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
fn tested(image: &Image, family: &Family<'_>) -> Option<ByteString> {
    let program = purpose::built_program(image, &family.head)?;
    let package = family.linked.get(program)?;
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

/// The kind of a process under the `go` process `head`.
pub(super) fn kind(correlator: &Correlator, process: &Process, head: &BuildHead<'_>) -> CallKind {
    let Some(image) = process.image() else {
        return CallKind::Other;
    };
    if let Some(role) = correlator.role(process) {
        return kind_of(role);
    }
    let by_name = || c_tool::kind(image.exe.as_bytes()).unwrap_or(CallKind::Other);
    if process.parent != Some(head.process.key) {
        return by_name();
    }
    match purpose::of(correlator, process, head) {
        Purpose::Tool(role) => kind_of(role),
        Purpose::C => CallKind::Cc,
        Purpose::Test => CallKind::Test,
        Purpose::Program => CallKind::Program,
        Purpose::Generator => CallKind::Generate,
        // The tool runs below the wrapper, and is counted there.
        Purpose::Wrapper(_) | Purpose::Other => by_name(),
    }
}

/// A tool's arguments as meant, including those in its response file.
pub(super) fn parsed(role: Role, process: &Process) -> Option<ToolArgs> {
    let image = process.image()?;
    let from_file = process.response.as_ref().and_then(Captured::get);
    Some(match from_file {
        Some(lines) => ToolArgs::parse(
            role,
            &ToolArgs::expand(&image.argv, lines),
            &image.env,
            image.cwd.as_ref(),
        ),
        None => ToolArgs::parse(role, &image.argv, &image.env, image.cwd.as_ref()),
    })
}

/// The nearest process above that executed a program. A shell forks itself for a part of a script, and that part may start tools.
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

/// A file that a compiler was given, and its package.
pub(super) struct SourceFile {
    pub(super) file: ByteString,
    pub(super) package: ByteString,
}

/// A source file of the package that a compiler worked on.
pub(super) fn source(correlator: &Correlator, process: &Process) -> Option<SourceFile> {
    let role = correlator.role(process).filter(|it| *it == Role::Compile)?;
    let image = process.image()?;
    let from_file = process.response.as_ref().and_then(Captured::get);
    let mut last = [image.argv.last(), from_file.and_then(|it| it.last())].into_iter();
    let file = last.find_map(|it| it.filter(|it| it.as_bytes().ends_with(b".go")))?;
    Some(SourceFile {
        file: tool::resolve(file, image.cwd.as_ref()),
        package: parsed(role, process)?.package?,
    })
}

/// The response file of a tool, if it was given one.
pub(super) fn response_file(role: Role, image: &Image) -> Option<ByteString> {
    ToolArgs::parse(role, &image.argv, &image.env, image.cwd.as_ref()).response_file
}

/// The role by path, for a program whose content could not be read: `$GOROOT/pkg/tool/*/compile`, `$GOROOT/bin/go`.
pub(super) fn role_by_path(path: &ByteString) -> Option<Role> {
    let role = tool::role_of(path.as_bytes())?;
    let mut parts = path.as_bytes().rsplit(|it| *it == b'/').skip(1);
    let is_tool_dir = match role {
        Role::Go => parts.next() == Some(b"bin"),
        Role::Compile
        | Role::Asm
        | Role::Link
        | Role::Cgo
        | Role::Vet
        | Role::Cover
        | Role::Pack
        | Role::Preprofile
        | Role::Fix
        | Role::BuildId => parts.nth(1) == Some(b"tool"),
    };
    is_tool_dir.then_some(role)
}

fn kind_of(role: Role) -> CallKind {
    match role {
        Role::Compile => CallKind::Compile,
        Role::Asm => CallKind::Asm,
        Role::Link => CallKind::Link,
        Role::Cgo => CallKind::Cgo,
        Role::Vet => CallKind::Vet,
        Role::Cover => CallKind::Cover,
        Role::Pack => CallKind::Pack,
        Role::Go | Role::Preprofile | Role::Fix | Role::BuildId => CallKind::GoTool,
    }
}
