//! Converts spans of the `go` command to actions of its graph, and assigns tool runs to them.

use crate::byte_string::ByteString;
use crate::event::ProcKey;
use crate::model::{Action, CallKind, Outcome, Phase, ToolCall};

use super::process::{GoSpan, Process};
use super::purpose::BuildHead;
use super::{Correlator, output, setting};

/// Prefix of the name of an action's span (`work.(*Builder).Do`).
pub(super) const EXECUTING: &str = "Executing action";

/// Prefix of the name of the span that loads packages.
pub(super) const LOADING: &str = "load.PackagesAndErrors";

/// Prefix of the name of the span in which `go install` determines the paths of its outputs.
pub(super) const INSTALLING: &str = "InstallPackages";

/// Prefix of the name of the span that executes the graph (`work.(*Builder).Do`).
pub(super) const DOING: &str = "exec.Builder.Do";

/// Modes of more than one word, so that a mode can be distinguished from the package after it. The longest match counts. Source:
/// `cmd/go/internal/{work/action.go,test/test.go,run/run.go,tool/tool.go,vet/vet.go}` of Go 1.19 to 1.27.
const MODES: [&str; 19] = [
    "build check cache",
    "preprocess PGO profile",
    "write coverage meta-data file",
    "cgo run",
    COMPILES_FILE,
    "collect cgo",
    "install header",
    "shlib packages",
    "test build",
    "test run",
    "test clean",
    "test print",
    "test barrier",
    "go build",
    "go install",
    "go run",
    "go test",
    "go tool",
    "go vet",
];

/// The only mode that names a file before its package (Go 1.26 and later).
const COMPILES_FILE: &str = "cgo compile";

/// Reported stages of a `go` command: the prefix of the span's name, the name of the stage, and the depth to which such spans count.
const STAGES: [(&str, &str, usize); 6] = [
    ("Running ", "command", 1),
    (LOADING, "load", 1),
    (INSTALLING, "install", 1),
    (DOING, "execute", 1),
    // `modload` and `modfetch` call these while packages are loaded, or on a goroutine of their own.
    ("modfetch.download ", "download", usize::MAX),
    ("modload.queryProxy ", "query_proxy", usize::MAX),
];

/// Mode and package of an action's span; `None` if the span is not an action.
pub(super) fn parse(name: &str) -> Option<(String, Option<ByteString>)> {
    let rest = name.strip_prefix(EXECUTING)?.trim_start();
    let inner = rest
        .strip_prefix('(')
        .and_then(|it| it.strip_suffix(')'))
        .unwrap_or(rest);
    let mode = MODES
        .iter()
        .copied()
        .filter(|mode| is_first_words(inner, mode))
        .max_by_key(|it| it.len())
        .unwrap_or_else(|| inner.split(' ').next().unwrap_or_default());
    let rest = inner.get(mode.len()..).unwrap_or_default().trim_start();
    let package = if mode == COMPILES_FILE {
        rest.split_once(' ').map_or("", |(_, package)| package)
    } else {
        rest
    };
    Some((
        mode.to_owned(),
        (!package.is_empty()).then(|| ByteString::from(package)),
    ))
}

fn is_first_words(text: &str, words: &str) -> bool {
    text.strip_prefix(words)
        .is_some_and(|it| it.is_empty() || it.starts_with(' '))
}

/// The actions of a `go` process, in order of start, with their tool runs.
pub(super) fn actions(head: &BuildHead<'_>, calls: &[ToolCall]) -> Vec<Action> {
    let process = head.process;
    let is_dry_run = setting::is_dry_run(process);
    let mut actions: Vec<Action> = process.spans.iter().filter_map(action).collect();
    actions.sort_by_key(|it| it.start);
    for (index, call) in (0u32..).zip(calls) {
        if call.is_query {
            continue;
        }
        let kind = top_kind(calls, call);
        let home = actions
            .iter_mut()
            .filter(|it| contains(it, call))
            .max_by_key(|it| (fit(&it.mode, kind), it.start));
        if let Some(action) = home {
            action.calls.push(index);
        }
    }
    for action in &mut actions {
        let is_unchecked = is_dry_run || is_unchecked(head.command(), action, calls);
        action.outcome = outcome(action, calls, process.key);
        if action.outcome == Outcome::Cached && is_unchecked {
            action.outcome = Outcome::Unknown;
        }
    }
    actions
}

/// Marks the action that failed to install its target, and returns its package.
pub(super) fn fail_install(
    actions: &mut [Action],
    correlator: &Correlator,
    process: &Process,
) -> Option<ByteString> {
    let failed = action(output::uninstalled(correlator, process)?)?;
    let is_wrapped_program = |it: &&mut Action| {
        (it.start, &it.mode, &it.package) == (failed.start, &failed.mode, &failed.package)
    };
    actions.iter_mut().find(is_wrapped_program)?.outcome = Outcome::Failed;
    failed.package
}

/// The stages, such as loading and executing. Only outermost spans count.
pub(super) fn stages(process: &Process) -> Vec<Phase> {
    let mut stages: Vec<Phase> = process.spans.iter().filter_map(stage).collect();
    stages.sort_by_key(|it| it.start);
    stages
}

fn stage(span: &GoSpan) -> Option<Phase> {
    let (_, name, _) = STAGES
        .iter()
        .find(|(prefix, _, depth)| span.depth <= *depth && span.name.starts_with(prefix))?;
    Some(Phase {
        name: (*name).to_owned(),
        start: span.start,
        end: span.end,
    })
}

fn action(span: &GoSpan) -> Option<Action> {
    let (mode, package) = parse(&span.name)?;
    Some(Action {
        mode,
        package,
        start: span.start,
        end: span.end,
        outcome: Outcome::Executed,
        calls: Vec::new(),
    })
}

fn contains(action: &Action, call: &ToolCall) -> bool {
    action.package.is_some()
        && action.package == call.package
        && action.start <= call.start
        && action.end.is_none_or(|end| call.start <= end)
}

/// Kind of the tool run that the `go` command itself started: gcc under link counts as the link.
fn top_kind(calls: &[ToolCall], call: &ToolCall) -> CallKind {
    let mut top = call;
    // A chain is never longer than the list. The bound ends a cycle that a damaged recording might contain.
    for _ in 0..calls.len() {
        match calls.iter().find(|it| Some(it.process) == top.started_by) {
            Some(parent) => top = parent,
            None => break,
        }
    }
    top.kind
}

/// The rank of a tool for an action's mode, because several actions of one package may run at once.
fn fit(mode: &str, kind: CallKind) -> u8 {
    let is_home = match kind {
        CallKind::Link => mode == "link",
        CallKind::Vet => mode == "vet",
        CallKind::Cover => mode == "cover",
        CallKind::Test => mode == "test run",
        CallKind::Program => mode == "go run" || mode == "run",
        CallKind::Cgo | CallKind::Cc => {
            matches!(mode, "cgo run" | COMPILES_FILE | "collect cgo")
        }
        CallKind::Compile
        | CallKind::Asm
        | CallKind::Pack
        | CallKind::GoTool
        | CallKind::As
        | CallKind::Ld
        | CallKind::Vcs
        | CallKind::Generate
        | CallKind::Other => mode == "build",
    };
    u8::from(is_home) * 2 + u8::from(mode == "build")
}

/// True if an action ended without a tool and the `go` command did not check whether one had to run. `go list` does not link programs. `go
/// vet` does not need to compile the package that it checks. Source: `(*Builder).link` and `(*Builder).build` of
/// `cmd/go/internal/work/exec.go`.
fn is_unchecked(command: &str, action: &Action, calls: &[ToolCall]) -> bool {
    let is_vetted = |it: &ToolCall| it.kind == CallKind::Vet && it.package == action.package;
    match (command, action.mode.as_str()) {
        ("list", "link") => true,
        ("vet", "build") => calls.iter().any(is_vetted),
        _ => false,
    }
}

/// True if a tool had to run. Modes that never run a tool count as executed, and so does an action that was cut off before its tool ran.
fn outcome(action: &Action, calls: &[ToolCall], head: ProcKey) -> Outcome {
    let mut own = action.calls.iter().filter_map(|it| calls.get(*it as usize));
    if own.clone().any(|it| it.is_decisive(head)) {
        Outcome::Failed
    } else if own.next().is_some()
        || action.end.is_none()
        || !matches!(action.mode.as_str(), "build" | "link" | "vet" | "test run")
    {
        Outcome::Executed
    } else {
        Outcome::Cached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, mode: &str, package: Option<&str>) {
        assert_eq!(
            parse(name),
            Some((mode.to_owned(), package.map(ByteString::from))),
            "{name}"
        );
    }

    #[test]
    fn a_span_name_contains_mode_and_package() {
        check("Executing action (build fmt)", "build", Some("fmt"));
        check(
            "Executing action (build check cache fmt)",
            "build check cache",
            Some("fmt"),
        );
        check(
            "Executing action (build example.com/m/lib [example.com/m/lib.test])",
            "build",
            Some("example.com/m/lib [example.com/m/lib.test]"),
        );
        check(
            "Executing action (link-install example.com/hello)",
            "link-install",
            Some("example.com/hello"),
        );
        check(
            "Executing action (test run example.com/m)",
            "test run",
            Some("example.com/m"),
        );
        check(
            "Executing action (preprocess PGO profile)",
            "preprocess PGO profile",
            None,
        );
        check("Executing action (go build)", "go build", None);
        check("Executing action (go build )", "go build", None);
        check("Executing action", "", None);
        check(
            "Executing action (cgo compile /tmp/go-build1/b002/_cgo_export.c net)",
            "cgo compile",
            Some("net"),
        );
    }

    #[test]
    fn a_package_may_begin_like_a_mode() {
        check("Executing action (build check)", "build", Some("check"));
        check("Executing action (vet go build)", "vet", Some("go build"));
    }

    #[test]
    fn other_spans_are_not_actions() {
        assert_eq!(parse("load.PackagesAndErrors"), None);
    }
}
