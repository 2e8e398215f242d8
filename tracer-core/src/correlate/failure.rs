//! Determines why a build failed, from the failed processes and not from a message. The `go` command sees only the status of its own
//! children. These decide, whatever ran between them and the tool. If no child decides, the interrupted work decides; otherwise the cause
//! is unknown.

use crate::byte_string::ByteString;
use crate::event::{Ktime, ProcKey, Role, Status};
use crate::golang::c_tool;
use crate::golang::command::GoCommand;
use crate::model::{Action, CallKind, Failure, FailureClass, Killer, ToolCall};

use super::process::{GoSpan, Image, Process, ProcessEnd};
use super::purpose::{self, BuildHead, Purpose};
use super::subtree::{self, Children, Subtree};
use super::{Correlator, action, output};

const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
const SIGKILL: u8 = 9;
const SIGTERM: u8 = 15;

/// Failure of tools with no `go` command above them, of which the last one to count ended with `status`.
pub(super) fn of_tools(
    head: ProcKey,
    status: Option<Status>,
    calls: &[ToolCall],
) -> Option<Failure> {
    let status = status.filter(|it| !it.is_success())?;
    let first = calls
        .iter()
        .filter(|it| it.is_decisive(head))
        .min_by_key(|it| it.end);
    let by_kind = || match first.map(|it| it.kind) {
        None => FailureClass::Unknown,
        Some(CallKind::Link) => FailureClass::Link,
        Some(CallKind::Vet) => FailureClass::Vet,
        Some(_) => FailureClass::Compile,
    };
    Some(Failure {
        class: by_signal(status).unwrap_or_else(by_kind),
        package: first.and_then(|it| it.package.clone()),
        process: first.map(|it| it.process),
        killed_by: first.and_then(|it| it.killed_by),
    })
}

/// A failed child of the `go` command.
struct Failed<'a> {
    process: &'a Process,
    at: Ktime,
    class: FailureClass,
    package: Option<ByteString>,
    killed_by: Option<Killer>,
}

/// Failure of a `go` command.
pub(super) fn failure(
    correlator: &Correlator,
    subtree: &Subtree<'_>,
    seen: &Seen<'_>,
) -> Option<Failure> {
    let (head, children) = (&subtree.head, subtree.children);
    let end = head.process.end.as_ref()?;
    let status = end.status;
    if status.is_success() {
        return None;
    }
    let own = || failed_children(correlator, head, children);
    let first = own()
        .filter_map(|it| decisive(correlator, it, head, children, seen))
        .min_by_key(|it| it.at);
    if let Some(first) = first {
        return Some(Failure {
            class: by_signal(status).unwrap_or(first.class),
            package: first.package,
            process: Some(first.process.key),
            killed_by: end.killed_by().or(first.killed_by),
        });
    }
    // For example version control that failed while packages were loaded, or an unknown helper.
    let last = own().max_by_key(|it| it.end.as_ref().map(|it| it.at));
    Some(Failure {
        class: by_signal(status).unwrap_or_else(|| without_failed_child(correlator, head, seen)),
        package: None,
        process: last.map(|it| it.key),
        killed_by: end.killed_by(),
    })
}

/// The known facts of a build besides its processes.
pub(super) struct Seen<'a> {
    pub(super) calls: &'a [ToolCall],
    pub(super) actions: &'a [Action],
}

/// The class of an end by an external signal.
fn by_signal(status: Status) -> Option<FailureClass> {
    match status {
        Status::Signal(SIGHUP | SIGINT | SIGTERM) => Some(FailureClass::Interrupted),
        Status::Signal(_) => Some(FailureClass::Killed),
        Status::Code(_) => None,
    }
}

fn failed_children<'a>(
    correlator: &'a Correlator,
    head: &BuildHead<'_>,
    children: &'a Children,
) -> impl Iterator<Item = &'a Process> {
    let own = children.get(&head.process.key).into_iter().flatten();
    own.filter_map(|it| correlator.table.get(*it))
        .filter(|it| has_failed(it) && !it.is_telemetry())
}

fn has_failed(process: &Process) -> bool {
    let end = process.end.as_ref();
    end.is_some_and(|it| !it.status.is_success())
}

/// A failed child as the cause of the failure, if it is one.
fn decisive<'a>(
    correlator: &'a Correlator,
    process: &'a Process,
    head: &BuildHead<'a>,
    children: &Children,
    seen: &Seen<'_>,
) -> Option<Failed<'a>> {
    let image = process.image()?;
    let end = process.end.as_ref()?;
    let purpose = purpose::of(correlator, process, head);
    let package = package(process, image, head, seen);
    let class = match purpose {
        Purpose::Tool(_) | Purpose::Wrapper(_) if is_query(image) => return None,
        Purpose::Tool(role) | Purpose::Wrapper(role) => of_role(role, head),
        Purpose::Test => FailureClass::Test,
        Purpose::Program => FailureClass::Program,
        Purpose::Generator => FailureClass::Generate,
        // Without a package the `go` command only queries the C compiler's features. It also tolerates a failure of this link
        // (`work.(*Builder).dynimport`).
        Purpose::C | Purpose::Other if package.is_none() || is_trial(image) => return None,
        // Any program that ran for a package: a C compiler, `pkg-config`, `swig`.
        Purpose::C | Purpose::Other => of_action(process, seen),
    };
    let under = Wrapped {
        correlator,
        head,
        children,
        purpose,
    };
    let innermost = under.innermost(process);
    // Other processes that a wrapper starts and ends have no meaning here.
    let inner = innermost
        .end
        .as_ref()
        .filter(|_| under.is_wrapped_program(innermost));
    let mut ends = [Some(end), inner].into_iter().flatten();
    let killed_by = ends.clone().find_map(ProcessEnd::killed_by);
    let by_signal = ends.find_map(|it| match it.status {
        Status::Signal(SIGHUP | SIGINT | SIGTERM) => Some(FailureClass::Interrupted),
        Status::Signal(SIGKILL) => Some(FailureClass::Killed),
        Status::Signal(_) | Status::Code(_) => None,
    });
    let class = by_signal.unwrap_or(class);
    // A process under a test or a program of the user is not a separate call.
    let is_call = seen.calls.iter().any(|it| it.process == innermost.key);
    Some(Failed {
        process: if is_call { innermost } else { process },
        at: end.at,
        class,
        package,
        killed_by,
    })
}

/// The purpose of a child of the `go` command, and the process that fulfils it under wrappers.
struct Wrapped<'a, 'h> {
    correlator: &'a Correlator,
    head: &'h BuildHead<'a>,
    children: &'h Children,
    purpose: Purpose,
}

impl<'a> Wrapped<'a, '_> {
    /// True if a process is the program that the wrappers were given to run.
    fn is_wrapped_program(&self, process: &Process) -> bool {
        let Some(image) = process.image() else {
            return false;
        };
        match self.purpose {
            Purpose::Tool(_) | Purpose::Wrapper(_) => self
                .correlator
                .role(process)
                .is_some_and(|it| it != Role::Go),
            Purpose::C => c_tool::kind(image.exe.as_bytes()).is_some(),
            Purpose::Test | Purpose::Program => purpose::is_program(image, self.head),
            Purpose::Generator | Purpose::Other => false,
        }
    }

    /// The process that failed under wrappers. If `process` is not the wrapped program, it is the last failed child that is that program or
    /// leads to it.
    fn innermost(&self, process: &'a Process) -> &'a Process {
        let leads = |it: &&Process| {
            let under = || subtree::under(self.correlator, it, self.children);
            self.is_wrapped_program(it) || under().into_iter().any(|it| self.is_wrapped_program(it))
        };
        let mut at = process;
        // A chain is never longer than the list of parents. The bound ends a cycle that a damaged recording might contain.
        for _ in 0..=self.children.len() {
            let below = self.children.get(&at.key).into_iter().flatten();
            let failed = below
                .filter_map(|it| self.correlator.table.get(*it))
                .filter(|it| has_failed(it))
                .filter(leads)
                .max_by_key(|it| it.end.as_ref().map(|it| it.at));
            match failed {
                Some(child) if !self.is_wrapped_program(at) => at = child,
                Some(_) | None => break,
            }
        }
        at
    }
}

/// The package that a child of the `go` command ran for: by the variable that the `go` command sets for it, else by the linked package.
fn package(
    process: &Process,
    image: &Image,
    head: &BuildHead<'_>,
    seen: &Seen<'_>,
) -> Option<ByteString> {
    const NAME: &str = "TOOLEXEC_IMPORTPATH";
    // A `go` command under a tool of another one has inherited the variable.
    let inherited = head.process.image().and_then(|it| it.set(NAME));
    let own = image.set(NAME).filter(|it| Some(*it) != inherited);
    own.cloned().or_else(|| {
        let call = seen.calls.iter().find(|it| it.process == process.key)?;
        call.package.clone()
    })
}

fn is_query(image: &Image) -> bool {
    let is_query_flag = |it: &ByteString| {
        let it = it.as_bytes();
        it == b"-V" || it.starts_with(b"-V=") || it == b"-flags"
    };
    image.argv.iter().any(is_query_flag)
}

/// True for `-o $WORK/b001/_cgo_.o`.
fn is_trial(image: &Image) -> bool {
    let is_trial = |it: &ByteString| it.as_bytes().ends_with(b"/_cgo_.o");
    let links = !image.argv.iter().any(|it| *it == "-c");
    links && image.argv.iter().any(is_trial)
}

fn of_role(role: Role, head: &BuildHead<'_>) -> FailureClass {
    match role {
        Role::Vet if head.command() == "fix" => FailureClass::Fix,
        Role::Vet => FailureClass::Vet,
        Role::Fix => FailureClass::Fix,
        Role::Link => FailureClass::Link,
        Role::Compile
        | Role::Asm
        | Role::Cgo
        | Role::Cover
        | Role::Pack
        | Role::Preprofile
        | Role::BuildId
        | Role::Go => FailureClass::Compile,
    }
}

/// The failure class by the action that a process ran in.
fn of_action(process: &Process, seen: &Seen<'_>) -> FailureClass {
    let index = seen.calls.iter().position(|it| it.process == process.key);
    let index = index.and_then(|it| u32::try_from(it).ok());
    let action = seen
        .actions
        .iter()
        .find(|it| index.is_some_and(|index| it.calls.contains(&index)));
    match action.map(|it| it.mode.as_str()) {
        Some("vet") => FailureClass::Vet,
        Some("link") => FailureClass::Link,
        Some(_) | None => FailureClass::Compile,
    }
}

/// No child failed, or the `go` command ignores the failures.
fn without_failed_child(
    correlator: &Correlator,
    head: &BuildHead<'_>,
    seen: &Seen<'_>,
) -> FailureClass {
    let has_vetted = seen.actions.iter().any(|it| it.mode == "vet");
    match head.command() {
        // Since Go 1.27 the tool ends with success and the `go` command reads its findings; for `go fix -diff` since 1.26.
        "vet" if has_vetted => FailureClass::Vet,
        "fix" if has_vetted => FailureClass::Fix,
        _ if output::missing(correlator, head.process).next().is_some() => FailureClass::Install,
        _ if has_directory_in_the_way(head.process) => FailureClass::Install,
        _ if failed_to_load(correlator, head) => FailureClass::Load,
        _ => FailureClass::Unknown,
    }
}

/// `go build` without `-o` searches for a directory with the output's name when the packages are loaded. If it exists, the command fails
/// with this message (`work.runBuild`, Go 1.19 to 1.27).
fn has_directory_in_the_way(process: &Process) -> bool {
    const FORMAT: &str = "go: build output %q already exists and is a directory";
    process.fatal.iter().any(|it| it == FORMAT)
}

/// True if the command ended while it loaded packages, or afterwards because of an error in them. The latter has no span: the errors are
/// printed (`load.CheckPackageErrors`) and the command ends. In the commands named here, every other end between loading and the first
/// action is `base.Fatalf`. Source: `work/build.go`, `run/run.go`, `vet/vet.go`, `test/test.go` of Go 1.19 to 1.27.
fn failed_to_load(correlator: &Correlator, head: &BuildHead<'_>) -> bool {
    let process = head.process;
    let mut lost = correlator.lost.iter().filter(|it| it.at >= process.start);
    if lost.any(|it| it.kind == "call") {
        return false;
    }
    let is_loading = |it: &&GoSpan| it.name.starts_with(action::LOADING);
    let mut loads = process.spans.iter().filter(is_loading).peekable();
    if loads.peek().is_none() {
        return false;
    }
    if loads.any(|it| it.end.is_none()) {
        // `cache.initDefaultCache`, of Go 1.19 to 1.27: the first loaded package needs the cache.
        return !process.fatal.iter().any(|it| it.contains("build cache"));
    }
    let goes_on = |it: &GoSpan| {
        let names = [action::EXECUTING, action::INSTALLING, action::DOING];
        names.iter().any(|name| it.name.starts_with(name))
    };
    let sees_fatal = correlator.tool_of(process).is_some_and(|tool| {
        let is_in_time = process.image().is_some_and(|it| tool.at <= it.at);
        is_in_time && tool.attached.iter().any(|it| it == "fatal")
    });
    // `go run` of Go 1.19.
    let is_of_loading = |it: &String| it == "go: no packages loaded from %s";
    sees_fatal
        && process.fatal.iter().all(is_of_loading)
        && !process.spans.iter().any(goes_on)
        && ends_after_loading(head)
}

/// True if the command checks the loaded packages before any other step that may fail.
fn ends_after_loading(head: &BuildHead<'_>) -> bool {
    match head.command() {
        "build" | "install" | "run" | "vet" => true,
        // `-c` and `-o` are checked after loading, and their errors do not use `base.Fatalf`.
        "test" => {
            let argv = head.process.image().map(|it| it.argv.as_slice());
            let command = GoCommand::parse(argv.unwrap_or_default(), &[]);
            !command.is_on("c") && command.value("o").is_none()
        }
        _ => false,
    }
}
