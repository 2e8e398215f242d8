//! The parsed arguments of a tool process, and the role of a program by its path.

use crate::byte_string::ByteString;
use crate::event::{Captured, Role};
use crate::golang::tool::{self, ToolArgs};

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
