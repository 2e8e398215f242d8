//! The commands to measure.

use clap::ValueEnum;

/// A command to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// No build: the cost of a tracer before the command starts and after it ends.
    None,
    /// A build with an empty cache: hundreds of compilations.
    Cold,
    /// A build without changes: the `go` command only.
    Warm,
    /// A build with a changed main package: one compilation and one link.
    Relink,
    /// Untraced processes and system calls beside the tracer.
    Storm,
    /// A generated module of thousands of packages, compiled once under each tracer.
    Many,
}

impl Workload {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Relink => "relink",
            Self::Storm => "storm",
            Self::Many => "many",
        }
    }

    /// Builds in one sample, all under one tracer, because the tracer's start is measured separately.
    pub(super) fn n_repeats(self) -> usize {
        match self {
            Self::None | Self::Cold | Self::Storm | Self::Many => 1,
            Self::Warm => 20,
            Self::Relink => 10,
        }
    }

    /// Script for `sh`. Its arguments are the number of repeats, a number unique to the sample, and the command of one build. The script
    /// waits for a line before the builds and after them, so that the tracer can be measured at both moments.
    pub(super) fn script(self) -> String {
        let builds = match self {
            Self::None | Self::Storm => "",
            Self::Cold | Self::Warm | Self::Many => {
                r#"n=$1; shift 2; while [ $n -gt 0 ]; do "$@" || exit 1; n=$((n - 1)); done"#
            }
            // A changed comment would give the same package and no link.
            Self::Relink => {
                r#"n=$1 new=$2; shift 2; while [ $n -gt 0 ]; do
                    echo "package main; func init() { println($new, $n) }" > change.go
                    "$@" || exit 1; n=$((n - 1)); done"#
            }
        };
        let builds = if builds.is_empty() { ":" } else { builds };
        format!(
            "echo started; read -r _; {{ {builds}\n}} </dev/null >/dev/null 2>&1; times; read -r _; exit 0"
        )
    }
}
