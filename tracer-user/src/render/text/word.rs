//! Texts for the values of the model.

use tracer_core::byte_string::ByteString;
use tracer_core::event::Status;
use tracer_core::model::{
    Build, CallKind, Failure, FailureClass, Installed, Killer, Origin, Packages, Toolchain,
};

use crate::render::style::{Line, Paint};
use crate::render::units;

/// Width of the labels on the left, including the indent.
pub(super) const LABEL: usize = 13;

/// A label in the left column.
pub(in crate::render) fn label(text: &str) -> Line {
    Line::painted(Paint::Dim, &format!("  {text}")).pad_to(LABEL)
}

/// A command line, quoted for a shell.
pub(super) fn command(argv: &[ByteString]) -> String {
    argv.iter()
        .map(|it| quoted(&it.to_str()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain =
        |it: char| it.is_alphanumeric() || "-_./=:,@%+[]^~{}".contains(it) || !it.is_ascii();
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A build's command line with the name of the program only, or a text in its place.
pub(in crate::render) fn build(build: &Build) -> String {
    let Some((program, arguments)) = build.command.argv.split_first() else {
        return format!("go {}", build.command.name);
    };
    let program = program
        .as_bytes()
        .rsplit(|it| *it == b'/')
        .next()
        .unwrap_or_default();
    let words: Vec<ByteString> = [program.into()]
        .into_iter()
        .chain(arguments.iter().cloned())
        .collect();
    command(&words)
}

/// The name of a kind of work in the table of work.
pub(in crate::render) fn work(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Compile => "compile",
        CallKind::Asm => "assemble",
        CallKind::Cgo => "cgo",
        CallKind::Link => "link",
        CallKind::Vet => "vet",
        CallKind::Cover => "cover",
        CallKind::Pack => "pack",
        CallKind::GoTool => "other Go tools",
        CallKind::Cc => "C compiler",
        CallKind::As => "C assembler",
        CallKind::Ld => "C linker",
        CallKind::Vcs => "version control",
        CallKind::Test => "test binaries",
        CallKind::Program => "programs run",
        CallKind::Generate => "generators",
        CallKind::Other => "other programs",
    }
}

/// The tool of a call, as the text before its package.
pub(super) fn tool(kind: CallKind, program: &ByteString) -> String {
    match kind {
        CallKind::Asm => "asm".to_owned(),
        CallKind::Test => "test of".to_owned(),
        CallKind::Compile
        | CallKind::Cgo
        | CallKind::Link
        | CallKind::Vet
        | CallKind::Cover
        | CallKind::Pack => work(kind).to_owned(),
        CallKind::GoTool
        | CallKind::Cc
        | CallKind::As
        | CallKind::Ld
        | CallKind::Vcs
        | CallKind::Program
        | CallKind::Generate
        | CallKind::Other => program.to_string(),
    }
}

/// The failure class and the failed package, as a sentence.
pub(super) fn failed(failure: &Failure) -> String {
    let package = failure.package.as_ref();
    let package = package.map_or_else(String::new, |it| format!(" in {it}"));
    let (what, more) = match failure.class {
        FailureClass::Compile => ("compile failed", ""),
        FailureClass::Link => ("link failed", ""),
        FailureClass::Vet => ("vet failed", ""),
        FailureClass::Test => ("test failed", ""),
        FailureClass::Program => ("program failed", ""),
        FailureClass::Generate => ("generate failed", ""),
        FailureClass::Fix => ("fix failed", ""),
        FailureClass::Load => ("load failed", ": packages could not be loaded"),
        FailureClass::Install => ("install failed", ": an output is not in its place"),
        FailureClass::Interrupted => ("interrupted", ""),
        FailureClass::Killed => ("killed", killer(failure.killed_by)),
        FailureClass::Unknown => ("failed for an unknown reason", ""),
    };
    format!("{what}{package}{more}")
}

/// The sender of a SIGKILL, as the text after the package.
fn killer(killer: Option<Killer>) -> &'static str {
    match killer {
        Some(Killer::OutOfMemoryKiller) => " by the kernel's out-of-memory killer",
        Some(Killer::Unknown) => ", by whom not known",
        None => "",
    }
}

pub(super) fn installed(how: Installed) -> &'static str {
    match how {
        Installed::Renamed | Installed::Direct => "",
        Installed::Copied => "copied there",
        Installed::UpToDate => "up to date",
        Installed::Temporary => "run and deleted",
        Installed::FromCache => "run from the build cache",
        Installed::Announced => "announced, not seen to be written",
    }
}

/// The origin of a setting, as the text after its value.
pub(super) fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Environment => "from the environment".to_owned(),
        Origin::UserFile(path) | Origin::RootFile(path) => format!("from {path}"),
        Origin::Default => String::new(),
        Origin::Unknown => "from an unknown place".to_owned(),
    }
}

/// `go1.27.3 linux/amd64`, as far as known.
pub(super) fn toolchain(toolchain: &Toolchain) -> String {
    let version = toolchain.version.as_deref().unwrap_or("unknown Go version");
    match (&toolchain.goos, &toolchain.goarch) {
        (Some(goos), Some(goarch)) => format!("{version} {goos}/{goarch}"),
        _ => version.to_owned(),
    }
}

/// `583: 272 compiled, 311 from the cache`.
pub(super) fn packages(packages: &Packages) -> String {
    let compiled = u64::from(packages.compiled);
    let failed = u64::from(packages.failed);
    let mut text = match packages.cached.map(u64::from) {
        Some(cached) => {
            let all = compiled + failed + cached;
            let share = units::share(cached, all);
            format!(
                "{} = {} compiled + {} cached ({share})",
                units::count(all),
                units::count(compiled),
                units::count(cached)
            )
        }
        None => format!("{} compiled, cached ones not seen", units::count(compiled)),
    };
    if failed > 0 {
        text = format!("{text}, {} failed", units::count(failed));
    }
    text
}

/// `6.9 of 8 cores busy`.
pub(super) fn cores(busy: f64, cpus: u32) -> String {
    if cpus == 0 {
        format!("{busy:.1} cores busy")
    } else {
        format!("{busy:.1} of {cpus} cores busy")
    }
}

/// `exit 2`, `SIGKILL`.
pub(super) fn status(status: Status) -> String {
    match status {
        Status::Code(code) => format!("exit {code}"),
        Status::Signal(number) => signal(number),
    }
}

pub(super) fn signal(number: u8) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}

/// A compiler phase without its prefix: `compilefuncs` for `be:compilefuncs`.
pub(super) fn phase(name: &str) -> &str {
    name.strip_prefix("fe:")
        .or_else(|| name.strip_prefix("be:"))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_names_its_sender() {
        let killed = |killed_by| {
            failed(&Failure {
                class: FailureClass::Killed,
                package: Some("example.com/a".into()),
                process: None,
                killed_by,
            })
        };
        assert_eq!(
            killed(Some(Killer::OutOfMemoryKiller)),
            "killed in example.com/a by the kernel's out-of-memory killer"
        );
        assert_eq!(
            killed(Some(Killer::Unknown)),
            "killed in example.com/a, by whom not known"
        );
        assert_eq!(killed(None), "killed in example.com/a");
    }
}
