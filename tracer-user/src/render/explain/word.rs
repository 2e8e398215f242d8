//! Sentences about changed inputs and causes.

use tracer_core::explain::{Change, InputKind, Missing, Place, RootCause};

use super::test_word;

/// Number of named files or variables.
const NAMED: usize = 4;
/// Longest value in characters. Of a longer one, the beginning is shown.
const VALUE: usize = 48;

/// The cause of a root.
pub(super) fn root(cause: &RootCause) -> String {
    match cause {
        RootCause::First => "the history has no earlier key: nothing to compare with".to_owned(),
        RootCause::Forced => "-a was set: go builds everything again".to_owned(),
        RootCause::SameInputs => {
            "same inputs as in an earlier build, but not in the build cache".to_owned()
        }
        RootCause::SameLink => {
            "same inputs as in an earlier link: Go does not cache linked programs".to_owned()
        }
        RootCause::VettedBefore => vetted("an earlier vet"),
        RootCause::FailedBefore => {
            "same inputs as in an earlier build that failed: Go caches no failure".to_owned()
        }
        RootCause::NotCacheable { reason } => test_word::not_cacheable(reason),
        RootCause::NotStored { reason } => test_word::not_stored("the earlier run", reason),
        RootCause::Expired => test_word::expired("an earlier run"),
        RootCause::Changed { package, changes } if test_word::are_times(changes) => {
            test_word::times(package.as_deref(), changes)
        }
        RootCause::Changed { package, changes } => {
            let changed = changes_of(changes);
            match package {
                Some(package) => format!("{changed} in {package}"),
                None => changed,
            }
        }
        RootCause::Elsewhere { packages } => {
            let named = list(packages);
            format!("{named} changed: the new content came from the build cache")
        }
        RootCause::Unresolved { missing: Some(it) } => missing(it),
        RootCause::Unresolved { missing: None } => {
            "not known: the changed imports lead to no package with a known cause".to_owned()
        }
    }
}

/// The place of work that had been done before.
pub(in crate::render) fn place(place: Place) -> &'static str {
    match place {
        Place::SameCache => "with the same GOCACHE",
        Place::SameMachine => "on this machine, with another GOCACHE",
        Place::Fleet => "on another machine",
        Place::Unknown => "on a machine that is not known",
        Place::Concurrent => "at the same time",
        Place::Forced => "-a was set",
        Place::PathOnly => "in another directory: -trimpath would share it",
        Place::Link => "a link, which Go does not cache",
    }
}

/// A package was vetted again with the inputs of the earlier vet `run`.
pub(super) fn vetted(run: &str) -> String {
    format!(
        "same inputs as in {run}: not in the build cache, or a named package (always vetted before Go 1.26)"
    )
}

/// A cause that is not known.
pub(super) fn missing(missing: &Missing) -> String {
    match missing {
        Missing::Key => "not known: the cache key was not recorded".to_owned(),
        Missing::Lines => "not known: lines of the cache key were lost".to_owned(),
        Missing::EarlierLines => "not known: lines of the earlier keys were lost".to_owned(),
        Missing::Imports { packages } => format!(
            "not known: {} changed, and no action of it was recorded",
            list(packages)
        ),
        Missing::StoringRun => {
            "not known: the earlier run whose list of inputs Go found was not recorded".to_owned()
        }
        Missing::Parts { lines } => format!(
            "not known: the keys differ only in parts that gotrace does not have ({})",
            lines.join(", ")
        ),
    }
}

/// All changes as one text: files, variables of the linker, then the rest.
pub(super) fn changes_of(changes: &[Change]) -> String {
    let release = changes
        .iter()
        .find(|it| it.input.kind == InputKind::Release);
    let told = changes.iter().filter(|it| !is_of_release(it, release));
    let (files, others): (Vec<&Change>, Vec<&Change>) =
        told.partition(|it| it.input.kind == InputKind::File);
    let (variables, others): (Vec<&Change>, Vec<&Change>) = others
        .into_iter()
        .partition(|it| it.input.kind == InputKind::LinkVariable);
    let (of_test, others): (Vec<&Change>, Vec<&Change>) = others
        .into_iter()
        .partition(|it| test_word::is_input(it.input.kind));
    let mut texts: Vec<String> = Vec::new();
    texts.extend(files_of(&files));
    texts.extend(test_word::inputs(&of_test));
    texts.extend(variables_of(&variables));
    texts.extend(others.iter().take(NAMED).map(|it| change(it)));
    if let Some(more) = others.len().checked_sub(NAMED).filter(|it| *it > 0) {
        texts.push(format!("{more} more inputs"));
    }
    texts.join("; ")
}

/// True for a tool whose version changed together with Go.
fn is_of_release(it: &Change, release: Option<&Change>) -> bool {
    let is_tool = matches!(
        it.input.kind,
        InputKind::Compiler | InputKind::Assembler | InputKind::Linker
    );
    is_tool && release.is_some_and(|go| (&go.before, &go.after) == (&it.before, &it.after))
}

/// `a.go, b.go changed`, `c.go added`.
fn files_of(files: &[&Change]) -> Vec<String> {
    by_word(files, presence, name)
}

pub(super) fn presence(change: &Change) -> &'static str {
    match (&change.before, &change.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    }
}

/// `-ldflags: -X main.date changed`. gotrace does not keep the values.
fn variables_of(variables: &[&Change]) -> Vec<String> {
    let texts = by_word(variables, presence, |it| format!("-X {}", name(it)));
    let texts = texts.into_iter();
    texts.map(|it| format!("-ldflags: {it}")).collect()
}

fn by_word(
    changes: &[&Change],
    word: impl Fn(&Change) -> &'static str,
    name: impl Fn(&Change) -> String,
) -> Vec<String> {
    let with_word = |wanted: &str| -> Option<String> {
        let named = changes.iter().filter(|it| word(it) == wanted);
        let named: Vec<String> = named.map(|it| name(it)).collect();
        (!named.is_empty()).then(|| format!("{} {wanted}", list(&named)))
    };
    ["changed", "added", "removed"]
        .into_iter()
        .filter_map(with_word)
        .collect()
}

/// `a, b, c, d and 3 more`.
pub(super) fn list(names: &[String]) -> String {
    let some = names.iter().take(NAMED).map(String::as_str);
    let some = some.collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED) {
        None | Some(0) => some,
        Some(more) => format!("{some} and {more} more"),
    }
}

pub(super) fn name(change: &Change) -> String {
    change.input.name.clone().unwrap_or_default()
}

/// One change: `compiler: go1.26.5 → go1.27.3`.
pub(super) fn change(change: &Change) -> String {
    if matches!(
        change.input.kind,
        InputKind::TestFile | InputKind::TestVariable
    ) {
        return test_word::inputs(&[change]).join("; ");
    }
    let what = what(change);
    let value = |it: &Option<String>| it.as_deref().map(shortened).unwrap_or_default();
    let (before, after) = (value(&change.before), value(&change.after));
    match (&change.before, &change.after) {
        (None, _) if after.is_empty() => format!("{what} added"),
        (None, _) => format!("{what} added: {after}"),
        (_, None) if before.is_empty() => format!("{what} removed"),
        (_, None) => format!("{what} removed: {before}"),
        _ if change.input.kind == InputKind::File => format!("{what} changed"),
        _ if before == after => format!("{what} changed"),
        _ => format!("{what}: {} → {}", or_empty(before), or_empty(after)),
    }
}

/// The name of an input.
fn what(change: &Change) -> String {
    let name = change.input.name.as_deref().unwrap_or_default();
    let fixed = match change.input.kind {
        InputKind::Release => "Go",
        InputKind::Compiler => "compiler",
        InputKind::CompilerFlags => "-gcflags",
        InputKind::Assembler => "assembler",
        InputKind::AssemblerFlags => "-asmflags",
        InputKind::Linker => "linker",
        InputKind::LinkerFlags => "-ldflags",
        InputKind::LinkVariable => return format!("-ldflags: -X {name}"),
        InputKind::Cgo => "cgo",
        InputKind::CFlags => return format!("{name} and C flags"),
        InputKind::CCompiler => return format!("{name} compiler"),
        InputKind::Vet => "vet",
        InputKind::VetFlags => "flags of vet",
        InputKind::Platform => "platform",
        InputKind::Experiment => "GOEXPERIMENT",
        InputKind::BuildMode => "-buildmode",
        InputKind::Trimpath => "-trimpath",
        InputKind::Coverage => "-cover",
        InputKind::Fuzzing => "instrumentation for fuzzing",
        InputKind::Godebug => "default of GODEBUG",
        InputKind::Directory => "directory",
        InputKind::Language => "go line of go.mod",
        InputKind::Goroot => "GOROOT",
        InputKind::Profile => "profile of -pgo",
        InputKind::MainPackage => "package main",
        InputKind::TestProgram => "test program",
        InputKind::TestVariable => return format!("variable {name}"),
        InputKind::TestFileSize => return format!("size of {name}"),
        InputKind::TestFileMode => return format!("mode of {name}"),
        InputKind::TestFileTime => return format!("modification time of {name}"),
        InputKind::TestTimeZone => "time zone",
        InputKind::ArchitectureLevel
        | InputKind::Variable
        | InputKind::File
        | InputKind::TestFlag
        | InputKind::TestFile
        | InputKind::TestFileError
        | InputKind::Module
        | InputKind::BuildInfo => return name.to_owned(),
        InputKind::Import => return format!("import {name}"),
        InputKind::Other => return format!("`{name}`"),
    };
    fixed.to_owned()
}

fn shortened(value: &str) -> String {
    let value = value.replace('\t', " ");
    let mut characters = value.chars();
    let short: String = characters.by_ref().take(VALUE).collect();
    if characters.next().is_some() {
        short + "..."
    } else {
        short
    }
}

fn or_empty(value: String) -> String {
    if value.is_empty() {
        "(empty)".to_owned()
    } else {
        value
    }
}
