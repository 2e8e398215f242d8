//! Label values of a build. Each label has few possible values, or its values pass the guard.

use tracer_core::byte_string::ByteString;
use tracer_core::model::{Build, CallKind, Installed, Output};

pub(crate) const UNKNOWN: &str = "unknown";
/// Failure class of a build without a known failure.
pub(crate) const NONE: &str = "none";

/// Commands of `go`. Any other text becomes `other`.
const COMMANDS: &[&str] = &[
    "build", "clean", "doc", "env", "fix", "fmt", "generate", "get", "install", "list", "mod",
    "run", "test", "tool", "tools", "version", "vet", "work",
];

/// The first word of a command: `mod` for `mod tidy`.
pub(crate) fn command(name: &str) -> &'static str {
    let first = name.split(' ').next().unwrap_or_default();
    COMMANDS
        .iter()
        .find(|it| **it == first)
        .copied()
        .unwrap_or("other")
}

/// The main module.
pub(crate) fn project(build: &Build) -> &str {
    known(build.module.as_deref())
}

pub(crate) fn known(it: Option<&str>) -> &str {
    it.unwrap_or(UNKNOWN)
}

/// GOOS, GOARCH and Go version.
pub(crate) fn platform(build: &Build) -> (&str, &str, &str) {
    let toolchain = &build.toolchain;
    (
        toolchain.goos.as_deref().unwrap_or(UNKNOWN),
        toolchain.goarch.as_deref().unwrap_or(UNKNOWN),
        toolchain.version.as_deref().unwrap_or(UNKNOWN),
    )
}

/// The name of a kind, as in the JSON of the model.
pub(crate) fn tool(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Compile => "compile",
        CallKind::Asm => "asm",
        CallKind::Cgo => "cgo",
        CallKind::Link => "link",
        CallKind::Vet => "vet",
        CallKind::Cover => "cover",
        CallKind::Pack => "pack",
        CallKind::GoTool => "go_tool",
        CallKind::Cc => "cc",
        CallKind::As => "as",
        CallKind::Ld => "ld",
        CallKind::Vcs => "vcs",
        CallKind::Test => "test",
        CallKind::Program => "program",
        CallKind::Generate => "generate",
        CallKind::Other => "other",
    }
}

/// The settings of a target, each as `true`, `false` or a word.
pub(crate) struct TargetSettings<'a> {
    pub(crate) cgo: &'static str,
    pub(crate) buildmode: &'a str,
    pub(crate) trimpath: &'static str,
    pub(crate) stripped: &'static str,
    pub(crate) race: &'static str,
    pub(crate) goflags_set: &'static str,
}

impl<'a> TargetSettings<'a> {
    pub(crate) fn of(build: &'a Build, output: &'a Output) -> Self {
        // The settings in the file were in force, whatever their origin.
        let artifact = output.artifact.as_ref();
        let stamp = artifact.and_then(|it| it.stamp.as_ref());
        let anatomy = artifact.and_then(|it| it.anatomy.as_ref());
        let given = match build.env.get("CGO_ENABLED").map(ByteString::as_bytes) {
            Some(b"1") => Some(true),
            Some(b"0") => Some(false),
            Some(_) | None => None,
        };
        let cgo = stamp.and_then(|it| it.cgo).or(given);
        let ldflags = value(build, "ldflags").unwrap_or_default();
        // `go run` and `go test` strip the programs that they run.
        let was_to_be_stripped =
            output.how == Installed::Temporary || ldflags.split_whitespace().any(|it| it == "-s");
        let is_stripped = anatomy.map_or(was_to_be_stripped, |it| it.stripped);
        Self {
            cgo: cgo.map_or(UNKNOWN, truth),
            buildmode: stamp
                .and_then(|it| it.buildmode.as_deref())
                .or_else(|| value(build, "buildmode"))
                .unwrap_or("default"),
            trimpath: truth(stamp.map_or_else(|| is_set(build, "trimpath"), |it| it.trimpath)),
            stripped: truth(is_stripped),
            race: truth(stamp.map_or_else(|| is_set(build, "race"), |it| it.race)),
            goflags_set: truth(!build.goflags.value.is_empty()),
        }
    }
}

/// The last value of a flag, which is the effective one.
fn value<'a>(build: &'a Build, name: &str) -> Option<&'a str> {
    let flag = build
        .command
        .flags
        .iter()
        .rev()
        .find(|it| it.name == name)?;
    std::str::from_utf8(flag.value.as_ref()?.as_bytes()).ok()
}

/// True if a boolean flag is on, by Go's rules for its values.
fn is_set(build: &Build, name: &str) -> bool {
    let is_given = build.command.flags.iter().any(|it| it.name == name);
    let is_off = value(build, name)
        .is_some_and(|it| ["0", "f", "F", "false", "FALSE", "False"].contains(&it));
    is_given && !is_off
}

fn truth(is_true: bool) -> &'static str {
    if is_true { "true" } else { "false" }
}
