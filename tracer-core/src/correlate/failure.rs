//! Why a build failed: by the first tool that failed, not by the message.

use crate::event::{ProcKey, Status};
use crate::model::{CallKind, Failure, FailureClass, ToolCall};

const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// Whether this run failed, and with it the build under `head`. The `go` command and cgo try C compilers out and expect some
/// of that to fail: a C tool decides only where the `go` command itself ran it, for a package.
pub(super) fn is_decisive(call: &ToolCall, head: ProcKey) -> bool {
    let works = match call.kind {
        CallKind::Compile
        | CallKind::Asm
        | CallKind::Cgo
        | CallKind::Link
        | CallKind::Vet
        | CallKind::Cover
        | CallKind::Pack
        | CallKind::GoTool
        | CallKind::Test
        | CallKind::Program
        | CallKind::Generate => true,
        CallKind::Cc | CallKind::As | CallKind::Ld => {
            call.package.is_some() && call.parent == head.tgid
        }
        CallKind::Vcs | CallKind::Other => false,
    };
    works && !call.is_query && call.status.is_some_and(|it| !it.is_success())
}

/// Failure of the build under `head`, which ended with `status`.
pub(super) fn failure(
    head: ProcKey,
    status: Option<Status>,
    calls: &[ToolCall],
) -> Option<Failure> {
    let status = status.filter(|it| !it.is_success())?;
    let first = calls
        .iter()
        .filter(|it| is_decisive(it, head))
        .min_by_key(|it| it.end);
    let class = match status {
        Status::Signal(SIGHUP | SIGINT | SIGTERM) => FailureClass::Interrupted,
        Status::Signal(_) => FailureClass::Killed,
        Status::Code(_) => first.map_or(FailureClass::Load, |it| class(it.kind)),
    };
    Some(Failure {
        class,
        package: first.and_then(|it| it.package.clone()),
        process: first.map(|it| it.process),
    })
}

fn class(kind: CallKind) -> FailureClass {
    match kind {
        CallKind::Link => FailureClass::Link,
        CallKind::Vet => FailureClass::Vet,
        CallKind::Test => FailureClass::Test,
        CallKind::Program | CallKind::Generate => FailureClass::Program,
        CallKind::Compile
        | CallKind::Asm
        | CallKind::Cgo
        | CallKind::Cover
        | CallKind::Pack
        | CallKind::GoTool
        | CallKind::Cc
        | CallKind::As
        | CallKind::Ld
        | CallKind::Vcs
        | CallKind::Other => FailureClass::Compile,
    }
}
