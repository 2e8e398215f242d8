//! The parsed arguments of a tool process, and the role of a program by its path.

use crate::byte_string::ByteString;
use crate::event::{Captured, Role};
use crate::golang::tool::{self, ToolArgs};

use super::Correlator;
use super::process::{Image, Process};

/// Parses a tool's arguments, including those of its response file.
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

/// A source file of a compiler, and its package.
pub(super) struct Source {
    pub(super) file: ByteString,
    pub(super) package: ByteString,
}

/// A source file of the package that a compiler process compiled.
pub(super) fn source(correlator: &Correlator, process: &Process) -> Option<Source> {
    let role = correlator.role(process).filter(|it| *it == Role::Compile)?;
    let image = process.image()?;
    let from_file = process.response.as_ref().and_then(Captured::get);
    let mut last = [image.argv.last(), from_file.and_then(|it| it.last())].into_iter();
    let file = last.find_map(|it| it.filter(|it| it.as_bytes().ends_with(b".go")))?;
    Some(Source {
        file: tool::resolve(file, image.cwd.as_ref()),
        package: parsed(role, process)?.package?,
    })
}

/// The response file of a tool, if it has one.
pub(super) fn response_file(role: Role, image: &Image) -> Option<ByteString> {
    ToolArgs::parse(role, &image.argv, &image.env, image.cwd.as_ref()).response_file
}

/// The role of a program by its path, if its content could not be read: `$GOROOT/pkg/tool/*/compile`, `$GOROOT/bin/go`.
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
