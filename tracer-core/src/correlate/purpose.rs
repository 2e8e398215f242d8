//! The purpose for which the `go` command ran a process, whatever the program is. Arguments and variables show the purpose of a wrapper.

use crate::byte_string::ByteString;
use crate::event::Role;
use crate::golang::c_tool;
use crate::golang::tool::{self, WorkDir};
use crate::model::CallKind;

use super::process::{Image, Process};
use super::{Correlator, args, setting};

/// The `go` process of a build, and the facts of its command line about its children.
pub(super) struct BuildHead<'a> {
    pub(super) process: &'a Process,
    /// First word of the name of its command; empty if the command has no name.
    command: String,
    gocache: Option<ByteString>,
}

impl<'a> BuildHead<'a> {
    pub(super) fn of(process: &'a Process) -> Self {
        let name = setting::command_name(process).unwrap_or_default();
        Self {
            process,
            command: name.split(' ').next().unwrap_or_default().to_owned(),
            gocache: setting::gocache(process),
        }
    }

    /// First word of the name of its command.
    pub(super) fn command(&self) -> &str {
        &self.command
    }

    /// True if it runs a program that it makes.
    pub(super) fn is_runner(&self) -> bool {
        matches!(self.command(), "run" | "tool")
    }

    /// True if a program is in its build cache.
    pub(super) fn has_cached(&self, path: &ByteString) -> bool {
        let is_in = |it: &ByteString| tool::is_cached_program(path.as_bytes(), it.as_bytes());
        self.gocache.as_ref().is_some_and(is_in)
    }
}

/// The purpose of a child of the `go` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To do the work of this Go tool, as the tool itself or as its replacement (`-vettool`).
    Tool(Role),
    /// To run this Go tool (`-toolexec`).
    Wrapper(Role),
    /// To do the work of a C compiler, under any wrapper (`CC`).
    C,
    /// To run a test binary, under any wrapper (`-exec`).
    Test,
    /// To run the program of `go run` or `go tool`, under any wrapper (`-exec`).
    Program,
    /// To run a directive of `go generate`.
    Generator,
    /// Any other purpose.
    Other,
}

/// The purpose of a child of the `go` process.
pub(super) fn of(correlator: &Correlator, process: &Process, head: &BuildHead<'_>) -> Purpose {
    let Some(image) = process.image() else {
        return Purpose::Other;
    };
    if let Some(role) = correlator.role(process).filter(|it| *it != Role::Go) {
        return Purpose::Tool(role);
    }
    if head.command == "generate" {
        // `go generate` itself may run Git to load packages.
        let is_vcs = c_tool::kind(image.exe.as_bytes()) == Some(CallKind::Vcs);
        return if is_vcs && !is_of_directive(image, head) {
            Purpose::Other
        } else {
            Purpose::Generator
        };
    }
    if let Some(role) = wrapped_tool(image) {
        return Purpose::Wrapper(role);
    }
    if built_program(image, head).is_some() {
        let is_flag = |it: &ByteString| it.as_bytes().starts_with(b"-test.");
        return if image.argv.iter().any(is_flag) {
            Purpose::Test
        } else {
            Purpose::Program
        };
    }
    // `go vet` and `go fix` pass this file to any tool that they run (`work.(*Builder).vet`).
    if image.argv.last().is_some_and(is_vet_config) {
        return Purpose::Tool(Role::Vet);
    }
    if is_c_compiler(image) {
        return Purpose::C;
    }
    Purpose::Other
}

/// True if it is itself the program of the user, from a work directory or the build cache.
pub(super) fn is_program(image: &Image, head: &BuildHead<'_>) -> bool {
    image.is_in_work_dir() || head.has_cached(&image.exe)
}

/// The program of the user that a child of the `go` process runs, itself or under a wrapper (`-exec`): from a work directory or the build
/// cache.
pub(super) fn built_program<'a>(image: &'a Image, head: &BuildHead<'_>) -> Option<&'a ByteString> {
    if is_program(image, head) {
        return Some(&image.exe);
    }
    let may_wrap = matches!(head.command(), "test" | "run" | "tool");
    let args = image.argv.get(1..).filter(|_| may_wrap)?;
    args.iter()
        .find(|it| is_linked_here(it) || head.has_cached(it))
}

/// True if the `go` command passed a file and a line of a directive to the process. The parent of the `go` command may have received them,
/// too.
fn is_of_directive(image: &Image, head: &BuildHead<'_>) -> bool {
    let own = head.process.image();
    let is_told =
        |name| image.set(name).is_some() && image.set(name) != own.and_then(|it| it.set(name));
    is_told("GOLINE") || is_told("GOFILE")
}

/// True for `$WORK/b001/m.test` and `$WORK/b001/exe/m`.
fn is_linked_here(path: &ByteString) -> bool {
    let bytes = path.as_bytes();
    let mut parts = bytes.rsplit(|it| *it == b'/');
    let name = parts.next().unwrap_or_default();
    let name = name.strip_suffix(b".exe").unwrap_or(name);
    let is_program = name.ends_with(b".test") || parts.next() == Some(b"exe");
    is_program && WorkDir::of(bytes).is_some_and(|it| it.action.is_some())
}

/// The Go tool that a wrapper was given to run.
fn wrapped_tool(image: &Image) -> Option<Role> {
    let args = image.argv.get(1..)?;
    let mut roles = args.iter().filter_map(args::role_by_path);
    roles.find(|it| *it != Role::Go)
}

fn is_vet_config(argument: &ByteString) -> bool {
    let path = argument.as_bytes();
    path.ends_with(b"/vet.cfg") && WorkDir::of(path).is_some()
}

/// True if it is the value of `CC` or a similar variable: the tools receive their values. A script is the first or second argument of its
/// shell.
fn is_c_compiler(image: &Image) -> bool {
    if c_tool::kind(image.exe.as_bytes()) == Some(CallKind::Cc) {
        return true;
    }
    ["CC", "CXX", "FC"].into_iter().any(|name| {
        let command = image
            .set(name)
            .map(ByteString::as_bytes)
            .unwrap_or_default();
        let program = command.split(u8::is_ascii_whitespace).next();
        let program = program.map(base).filter(|it| !it.is_empty());
        let words = image.argv.iter().take(3).chain([&image.exe]);
        program.is_some_and(|program| words.into_iter().any(|it| base(it.as_bytes()) == program))
    })
}

fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|it| *it == b'/').next().unwrap_or_default()
}

/// The purpose of a process under the `go` process `head`.
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
    match of(correlator, process, head) {
        Purpose::Tool(role) => kind_of(role),
        Purpose::C => CallKind::Cc,
        Purpose::Test => CallKind::Test,
        Purpose::Program => CallKind::Program,
        Purpose::Generator => CallKind::Generate,
        // The tool is below it, and counted there.
        Purpose::Wrapper(_) | Purpose::Other => by_name(),
    }
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
