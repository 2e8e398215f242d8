//! The files that a process left behind on purpose, and how each was installed.

use std::collections::BTreeSet;

use crate::byte_string::ByteString;
use crate::event::{ProcKey, Rename, Role};
use crate::golang::tool::WorkDir;
use crate::model::{Installed, Output};

use super::process::{GoSpan, Install, Process};
use super::purpose::{self, BuildHead};
use super::{Correlator, action, args, setting};

const EXDEV: u16 = 18;

/// True if the file still exists after the end of the process that made it.
pub(super) fn persists(output: &Output) -> bool {
    match output.how {
        Installed::Renamed
        | Installed::Copied
        | Installed::UpToDate
        | Installed::Direct
        | Installed::Announced => true,
        Installed::Temporary | Installed::FromCache => false,
    }
}

/// Files that this process installed itself.
pub(super) fn made_by(correlator: &Correlator, key: ProcKey) -> Vec<Output> {
    let Some(process) = correlator.table.get(key) else {
        return Vec::new();
    };
    let mut outputs = match correlator.role(process) {
        Some(Role::Go) => installed(correlator, process),
        Some(role @ (Role::Link | Role::Compile)) => direct(process, role).into_iter().collect(),
        Some(
            Role::Asm
            | Role::Cgo
            | Role::Vet
            | Role::Cover
            | Role::Pack
            | Role::Preprofile
            | Role::Fix
            | Role::BuildId,
        )
        | None => Vec::new(),
    };
    for output in &mut outputs {
        match correlator.artifacts.get(&(key, output.path.clone())) {
            Some(Ok(artifact)) => output.artifact = Some(artifact.clone()),
            Some(Err(why)) => output.unread = Some(why.clone()),
            None => {}
        }
    }
    outputs
}

/// Targets of a `go` command: announced ones, moved or copied ones, and renames out of its work directory.
fn installed(correlator: &Correlator, process: &Process) -> Vec<Output> {
    // `go list` plans to install, too.
    let is_list = setting::command_name(process).is_some_and(|it| it == "list");
    if is_list || setting::is_dry_run(process) {
        return Vec::new();
    }
    let cache = setting::gocache(process);
    let finished = process
        .end
        .as_ref()
        .is_some_and(|it| it.status.is_success());
    // The announcement names the package. A move without one is a header or a library. A rename alone is seen if the `go` command has no
    // probes.
    let (moves, announced): (Vec<&Install>, Vec<&Install>) =
        process.installs.iter().partition(|it| it.is_move);
    let installs = announced
        .into_iter()
        .chain(moves)
        .map(|it| of_install(correlator, process, it))
        .filter(|it| finished || is_proved(it.how));
    let renamed = process
        .renames
        .iter()
        .filter_map(|it| of_rename(process, it));
    let mut seen = BTreeSet::new();
    installs
        .chain(renamed)
        .filter(|it| is_kept(&it.path, cache.as_ref()) && seen.insert(it.path.clone()))
        .collect()
}

/// True if the observed events prove that the file exists, however the `go` command ended. Only the start of a copy is seen.
fn is_proved(how: Installed) -> bool {
    match how {
        Installed::Renamed
        | Installed::UpToDate
        | Installed::Direct
        | Installed::Temporary
        | Installed::FromCache => true,
        Installed::Copied | Installed::Announced => false,
    }
}

/// Targets of a failed `go` command that were announced or started, but are not known to exist.
pub(super) fn missing<'a>(
    correlator: &'a Correlator,
    process: &'a Process,
) -> impl Iterator<Item = &'a Install> {
    let is_real = !setting::is_dry_run(process);
    let installs = process.installs.iter().filter(move |_| is_real);
    installs.filter(|it| !is_proved(how(correlator, process, it)))
}

/// The action that failed to install its target, if there is exactly one.
pub(super) fn uninstalled<'a>(correlator: &Correlator, process: &'a Process) -> Option<&'a GoSpan> {
    let spans: BTreeSet<_> = missing(correlator, process).map(|it| it.span).collect();
    let mut spans = spans.into_iter();
    let span = spans.next()?.filter(|_| spans.next().is_none())?;
    process.spans.get(span)
}

/// False for files of the `go` command itself in its cache and work directory. Also false for devices (`-o /dev/null`, `-o /dev/stdout`),
/// because no file exists afterwards.
fn is_kept(path: &ByteString, cache: Option<&ByteString>) -> bool {
    let in_cache = cache
        .and_then(|it| path.as_bytes().strip_prefix(it.as_bytes()))
        .is_some_and(|it| it.starts_with(b"/"));
    !in_cache && !in_work_directory(path) && !is_device(path)
}

fn is_device(path: &ByteString) -> bool {
    let name = path.as_bytes().strip_prefix(b"/dev/");
    name.is_some_and(|it| !it.starts_with(b"shm/"))
}

fn of_install(correlator: &Correlator, process: &Process, install: &Install) -> Output {
    let span = install.span.and_then(|it| process.spans.get(it));
    Output {
        path: setting::locate(process, &install.to),
        package: span.and_then(|it| action::parse(&it.name)?.1),
        how: how(correlator, process, install),
        at: span.and_then(|it| it.end).unwrap_or(install.at),
        artifact: None,
        unread: None,
    }
}

/// A successful rename of an output out of a work directory.
fn of_rename(process: &Process, rename: &Rename) -> Option<Output> {
    let (old, new) = (rename.old.get()?, rename.new.get()?);
    (rename.errno == 0 && in_work_directory(old)).then(|| Output {
        path: setting::locate(process, new),
        package: None,
        how: Installed::Renamed,
        at: rename.at,
        artifact: None,
        unread: None,
    })
}

/// The output that a compiler or linker wrote outside of any work directory: `go build` did not run it.
fn direct(process: &Process, role: Role) -> Option<Output> {
    let call = args::parsed(role, process)?;
    let path = call
        .output
        .filter(|it| is_kept(it, None) && !call.is_query)?;
    let end = process.end.as_ref().filter(|it| it.status.is_success())?;
    Some(Output {
        path,
        package: call.package,
        how: Installed::Direct,
        at: end.at,
        artifact: None,
        unread: None,
    })
}

/// A program that ran from the path where the `go` process `head` linked it, or from its cache.
pub(super) fn ran(process: &Process, head: &BuildHead<'_>) -> Option<Output> {
    let image = process.image()?;
    let program = purpose::built_program(image, head)?;
    let how = if in_work_directory(program) {
        Installed::Temporary
    } else if head.has_cached(program) {
        Installed::FromCache
    } else {
        return None;
    };
    Some(Output {
        path: program.clone(),
        package: None,
        how,
        at: image.at,
        artifact: None,
        unread: None,
    })
}

fn how(correlator: &Correlator, process: &Process, install: &Install) -> Installed {
    if install.from == install.to {
        return Installed::UpToDate;
    }
    let to = setting::locate(process, &install.to);
    let is_target = |path: &ByteString| setting::locate(process, path) == to;
    let errnos: Vec<u16> = process
        .renames
        .iter()
        .filter(|it| it.new.get().is_some_and(is_target))
        .map(|it| it.errno)
        .collect();
    let moved = process
        .installs
        .iter()
        .any(|it| it.is_move && is_target(&it.to));
    if errnos.contains(&0) {
        Installed::Renamed
    } else if errnos.contains(&EXDEV) || (moved && correlator.context.renames) {
        // Without an attempted rename, the target's directory is setgid, or the source is in the build cache.
        Installed::Copied
    } else {
        Installed::Announced
    }
}

/// True if a path is in an action's directory of a `go` command's work directory.
fn in_work_directory(path: &ByteString) -> bool {
    WorkDir::of(path.as_bytes()).is_some_and(|it| it.action.is_some())
}
