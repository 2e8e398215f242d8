//! The `go` command's settings: as its tools received them if there are tools, else by Go's own precedence.
//!
//! Before the `go` command runs a tool, it puts every resolved setting into the tool's environment (`cmd/go/main.go`, Go 1.19 to 1.27). The
//! first tool therefore shows the values in force; the sources show their origin.

use std::collections::BTreeMap;

use crate::byte_string::ByteString;
use crate::effect::Effect;
use crate::event::{ProcKey, Settings};
use crate::golang::command::GoCommand;
use crate::golang::goflags::{self, Quoting};
use crate::golang::settings::{self, Sources};
use crate::golang::tool;
use crate::golang::version::GoVersion;
use crate::model::{Command, Origin, Setting, Toolchain};

use super::Correlator;
use super::process::{Image, Process};
use super::subtree::Subtree;

/// Settings in force in one build.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) variables: BTreeMap<String, ByteString>,
    pub(super) goflags: Setting,
    pub(super) toolchain: Toolchain,
}

impl Resolved {
    pub(super) fn of(correlator: &Correlator, subtree: &Subtree<'_>) -> Self {
        let given: Vec<&Image> = subtree
            .members
            .iter()
            .filter(|it| correlator.role(it).is_some())
            .filter_map(|it| it.image())
            .collect();
        // The `go` command resolves its settings for its tools, and passes its own environment on to itself (telemetry).
        let resolved = given.iter().find(|it| it.set("GOTOOLDIR").is_some());
        let first = resolved.or(given.first()).copied();
        let from_tools = |name: &str| given.iter().find_map(|it| it.set(name)).cloned();
        let own = |name: &str| {
            sources(subtree.head.process)
                .map(|it| it.get(name).value)
                .filter(|it| !it.is_empty())
        };
        let value = |name: &str| from_tools(name).or_else(|| own(name));
        Self {
            variables: first.map(variables).unwrap_or_default(),
            goflags: goflags_setting(subtree.head.process, first),
            toolchain: Toolchain {
                version: from_tools("GOVERSION")
                    .map(|it| it.to_str().into_owned())
                    .or_else(|| {
                        correlator
                            .tool_of(subtree.head.process)
                            .map(|it| it.version.clone())
                    }),
                goroot: value("GOROOT")
                    .or_else(|| subtree.head.process.image().and_then(goroot_by_path)),
                goos: value("GOOS").map(|it| it.to_str().into_owned()),
                goarch: value("GOARCH").map(|it| it.to_str().into_owned()),
                switched_from: switched_from(correlator, subtree.head.process),
            },
        }
    }
}

/// The facts that must be read when a `go` command starts: its settings files and its module.
pub(super) fn request(process: ProcKey, image: &Image) -> Effect {
    let root = image
        .set("GOROOT")
        .cloned()
        .or_else(|| goroot_by_path(image));
    Effect::ReadSettings {
        process,
        user: settings::user_file(&image.env).map(|it| tool::locate(&it, image.cwd.as_ref())),
        root: root.map(|it| ByteString::from([it.as_bytes(), b"/go.env"].concat())),
        dir: dir_of(image),
        argv: image.argv.clone(),
        env: image.env.clone(),
    }
}

/// The working directory with `-C` applied.
pub(super) fn dir(process: &Process) -> Option<ByteString> {
    dir_of(process.image()?)
}

pub(super) fn dir_of(image: &Image) -> Option<ByteString> {
    let cwd = image.cwd.as_ref()?;
    Some(match GoCommand::parse(&image.argv, &[]).chdir {
        Some(chdir) => tool::locate(&chdir, Some(cwd)),
        None => cwd.clone(),
    })
}

/// Resolves a path that a process passed to the kernel, as the kernel does: from its working directory, with `-C` applied.
pub(super) fn locate(process: &Process, path: &ByteString) -> ByteString {
    let image = process.image();
    let cwd = image.and_then(|it| it.cwd.as_ref());
    let chdir = image.and_then(|it| GoCommand::parse(&it.argv, &[]).chdir);
    match chdir.filter(|_| !path.as_bytes().starts_with(b"/")) {
        Some(chdir) => {
            let path = [chdir.as_bytes(), b"/", path.as_bytes()].concat();
            tool::locate(&path.into(), cwd)
        }
        None => tool::locate(path, cwd),
    }
}

/// The name of the command; `None` without arguments.
pub(super) fn command_name(process: &Process) -> Option<String> {
    let image = process.image()?;
    Some(GoCommand::parse(&image.argv, &[]).name)
}

/// True if modules are off: `GO111MODULE=off`, or `auto` with neither a `go.mod` nor a `go.work` around.
pub(super) fn is_gopath_mode(process: &Process) -> bool {
    let found = process.settings.as_ref();
    let mode = sources(process).map(|it| it.get("GO111MODULE").value);
    mode.is_some_and(|it| match it.as_bytes() {
        b"off" => true,
        b"auto" => found.is_some_and(|it| it.module_dir.is_none() && it.workspace.is_empty()),
        _ => false,
    })
}

/// True if the command only prints its plan (`-n`).
pub(super) fn is_dry_run(process: &Process) -> bool {
    let Some(image) = process.image() else {
        return false;
    };
    sources(process).is_some_and(|it| it.command(&image.argv).is_on("n"))
}

/// The command line as meant, with the flags that GOFLAGS adds.
pub(super) fn command(process: &Process, resolved: &Resolved) -> Command {
    let Some(image) = process.image() else {
        return Command::default();
    };
    let version = resolved
        .toolchain
        .version
        .as_deref()
        .and_then(GoVersion::parse);
    // Unterminated quotes make the `go` command fail; then no flag of GOFLAGS is in force.
    let words = goflags::split(
        resolved.goflags.value.as_bytes(),
        Quoting::of(version.as_ref()),
    )
    .unwrap_or_default();
    let parsed = GoCommand::parse(&image.argv, &words);
    Command {
        name: parsed.name,
        argv: image.argv.clone(),
        flags: parsed.flags,
        packages: parsed.packages,
    }
}

/// The directory of a `go` process's build cache.
pub(super) fn gocache(process: &Process) -> Option<ByteString> {
    sources(process)?.gocache()
}

fn sources(process: &Process) -> Option<Sources<'_>> {
    let found: Option<&Settings> = process.settings.as_ref();
    Some(Sources {
        env: &process.image()?.env,
        user: found.and_then(|it| it.user.as_ref()),
        root: found.and_then(|it| it.root.as_ref()),
    })
}

fn goflags_setting(head: &Process, given: Option<&Image>) -> Setting {
    let by_sources = sources(head)
        .map(|it| it.get("GOFLAGS"))
        .unwrap_or_default();
    let Some(in_force) = given.map(|it| it.set("GOFLAGS").cloned().unwrap_or_default()) else {
        return by_sources;
    };
    if in_force == by_sources.value {
        return by_sources;
    }
    Setting {
        value: in_force,
        origin: Origin::Unknown,
    }
}

/// Variables that `go env` prints.
fn variables(image: &Image) -> BTreeMap<String, ByteString> {
    image
        .env
        .iter()
        .filter(|(name, value)| is_go_variable(name) && !value.is_empty())
        .map(|(name, value)| (name.to_str().into_owned(), value.clone()))
        .collect()
}

fn is_go_variable(name: &ByteString) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"GO")
        || name.starts_with(b"CGO_")
        || matches!(name, b"CC" | b"CXX" | b"FC" | b"AR" | b"PKG_CONFIG")
}

/// `$GOROOT` is the directory that contains `bin/go` (`cmd/go/internal/cfg.findGOROOT`).
fn goroot_by_path(image: &Image) -> Option<ByteString> {
    let root = image.exe.as_bytes().strip_suffix(b"/bin/go")?;
    Some(ByteString::from(root))
}

/// The toolchain that was started, if it was replaced by another in the same process.
fn switched_from(correlator: &Correlator, head: &Process) -> Option<String> {
    let version = |image: &Image| {
        correlator
            .tools
            .get(&image.file)
            .map(|it| it.version.clone())
    };
    let last = version(head.image()?)?;
    head.images
        .iter()
        .filter(|it| {
            correlator
                .tools
                .get(&it.file)
                .is_some_and(|tool| tool.role == crate::event::Role::Go)
        })
        .find_map(version)
        .filter(|it| *it != last)
}
