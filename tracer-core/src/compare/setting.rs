//! Texts of both builds: settings, source and machine.

use std::collections::BTreeMap;

use super::TextChange;
use super::change::texts;
use crate::finished::FinishedBuild;
use crate::history::Entry;
use crate::model::{Build, Flag, Origin};

/// Variables of `go env` that name temporary files, or repeat other variables.
const OMITTED: &[&str] = &[
    "GOARCH",
    "GOFLAGS",
    "GOGCCFLAGS",
    "GOOS",
    "GOROOT",
    "GOTMPDIR",
    "GOTOOLDIR",
    "GOVERSION",
];

/// Toolchain, flags in force, and `go env`.
pub(super) fn settings(before: &Build, after: &Build) -> Vec<TextChange> {
    texts(settings_of(before), settings_of(after))
}

fn settings_of(build: &Build) -> BTreeMap<String, String> {
    let toolchain = &build.toolchain;
    let goroot = toolchain.goroot.as_ref().map(|it| it.to_str().into_owned());
    let named = [
        ("Go", toolchain.version.clone()),
        ("Go before GOTOOLCHAIN", toolchain.switched_from.clone()),
        ("GOROOT", goroot),
        ("GOOS", toolchain.goos.clone()),
        ("GOARCH", toolchain.goarch.clone()),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut settings: BTreeMap<String, String> = named.collect();
    let goflags = build.goflags.value.to_str();
    if !goflags.is_empty() {
        let origin = origin(&build.goflags.origin);
        settings.insert("GOFLAGS".to_owned(), format!("{goflags}{origin}"));
    }
    for flag in &build.command.flags {
        let value = settings.entry(format!("-{}", flag.name)).or_default();
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(&flag_value(flag));
    }
    let env = build.env.iter();
    let env = env.filter(|(name, _)| !OMITTED.contains(&name.as_str()));
    settings.extend(env.map(|(name, value)| (name.clone(), value.to_str().into_owned())));
    settings
}

/// The value of a flag; `true` for a boolean flag without one.
fn flag_value(flag: &Flag) -> String {
    let value = flag.value.as_ref();
    value.map_or_else(|| "true".to_owned(), |it| it.to_str().into_owned())
}

/// The source of GOFLAGS, where it is not the environment.
fn origin(origin: &Origin) -> String {
    match origin {
        Origin::UserFile(path) | Origin::RootFile(path) => format!(" ({path})"),
        Origin::Unknown => " (source not known)".to_owned(),
        Origin::Environment | Origin::Default => String::new(),
    }
}

/// Version control, CI and directory.
pub(super) fn source(before: &Entry, after: &Entry) -> Vec<TextChange> {
    let of = |entry: &Entry| {
        let context = &entry.context;
        let named = [
            ("repository", &context.repository),
            ("branch", &context.branch),
            ("base branch", &context.base_branch),
            ("change", &context.change),
            ("revision", &context.revision),
            ("CI system", &context.ci_system),
            ("CI pipeline", &context.ci_pipeline),
            ("CI job", &context.ci_job),
            ("directory", &entry.dir),
        ];
        present(&named)
    };
    texts(of(before), of(after))
}

/// The machine, the container, and the number of CPUs.
pub(super) fn machine(before: FinishedBuild<'_>, after: FinishedBuild<'_>) -> Vec<TextChange> {
    let of = |build: FinishedBuild<'_>| {
        let context = &build.entry.context;
        let named = [
            ("host", &context.host),
            ("CI runner", &context.ci_runner),
            ("container", &context.container),
            ("pod", &context.pod_uid),
        ];
        let mut machine = present(&named);
        machine.push(("CPUs".to_owned(), build.trace.cpus.to_string()));
        machine
    };
    texts(of(before), of(after))
}

fn present(named: &[(&str, &Option<String>)]) -> Vec<(String, String)> {
    let present = named
        .iter()
        .filter_map(|(name, value)| Some(((*name).to_owned(), value.as_ref()?.clone())));
    present.collect()
}
