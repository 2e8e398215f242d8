//! Plans the runs: the kernels, their boot parameters, and the checks of gotrace on each.
//!
//! This module downloads and starts nothing.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The first two numbers of a kernel's version.
pub(super) type Series = (u32, u32);

/// Kernels with long maintenance and wide use.
const LONG_TERM: [Series; 3] = [(5, 10), (6, 1), (6, 12)];

/// The first series that does not count map memory towards the limit of locked memory.
const FIRST_WITHOUT_LIMIT: Series = (5, 11);

/// The series that is also locked down.
const LOCKED: Series = (6, 12);

/// Number of the newest series to test as well.
const N_NEWEST: usize = 3;

/// A guest to run.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) image: PathBuf,
    pub(super) checks: Checks,
}

/// The checks in a guest; `init.sh` runs them. The longest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Checks {
    /// Exact builds by both toolchains, and by the newest one again under each restriction of the machine.
    All,
    /// The same, on a kernel that refuses maps under a low limit of locked memory.
    AllLimited,
    /// Exact builds by both toolchains.
    Builds,
    /// One exact build, on a kernel that is locked down as by Secure Boot.
    Integrity,
    /// gotrace's behaviour on a kernel that denies access to its memory.
    Confidentiality,
}

impl Checks {
    /// Additions to the kernel's command line.
    pub(super) fn boot_parameters(self) -> &'static str {
        match self {
            Self::All | Self::AllLimited => "gotrace.checks=all",
            Self::Builds => "gotrace.checks=builds",
            Self::Integrity => "gotrace.checks=integrity lockdown=integrity",
            Self::Confidentiality => "gotrace.checks=confidentiality lockdown=confidentiality",
        }
    }

    /// The checks of a kernel that is not locked down.
    fn usual(series: Series) -> Self {
        if !LONG_TERM.contains(&series) {
            Self::Builds
        } else if series < FIRST_WITHOUT_LIMIT {
            Self::AllLimited
        } else {
            Self::All
        }
    }
}

/// The runs with these names (`6.12`, `6.12-integrity`, `6.12-confidentiality`), or the whole matrix without names. The kernels
/// come from `there`; the longest runs come first.
pub(super) fn plan(names: &[String], there: &[Series]) -> Result<Vec<(String, Series, Checks)>> {
    let mut plan = if names.is_empty() {
        matrix(there)
    } else {
        let rows = names.iter().map(|wanted| {
            let row = row(wanted, there);
            row.with_context(|| format!("Debian has no kernel {wanted}: it has {there:?}"))
        });
        rows.collect::<Result<_>>()?
    };
    plan.sort_by_key(|(_, series, checks)| (*checks, *series));
    Ok(plan)
}

fn matrix(there: &[Series]) -> Vec<(String, Series, Checks)> {
    let mut newest = there.to_vec();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    newest.retain(|it| !LONG_TERM.contains(it));
    newest.truncate(N_NEWEST);
    let usual = LONG_TERM.into_iter().chain(newest);
    let usual = usual.map(|it| (it, Checks::usual(it)));
    let locked = [Checks::Integrity, Checks::Confidentiality].map(|it| (LOCKED, it));
    usual
        .chain(locked)
        .map(|(series, checks)| (name(series, checks), series, checks))
        .collect()
}

fn row(wanted: &str, there: &[Series]) -> Option<(String, Series, Checks)> {
    let of = |series: Series| {
        [
            Checks::usual(series),
            Checks::Integrity,
            Checks::Confidentiality,
        ]
    };
    let mut all = there
        .iter()
        .flat_map(|series| of(*series).map(|checks| (name(*series, checks), *series, checks)));
    all.find(|(name, _, _)| name == wanted)
}

fn name((major, minor): Series, checks: Checks) -> String {
    match checks {
        Checks::All | Checks::AllLimited | Checks::Builds => format!("{major}.{minor}"),
        Checks::Integrity => format!("{major}.{minor}-integrity"),
        Checks::Confidentiality => format!("{major}.{minor}-confidentiality"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: [Series; 7] = [(5, 10), (6, 1), (6, 12), (6, 19), (7, 1), (7, 2), (7, 3)];

    fn names(named: &[&str]) -> Vec<String> {
        let named: Vec<String> = named.iter().map(|it| (*it).to_owned()).collect();
        let plan = plan(&named, &THERE).unwrap();
        plan.into_iter()
            .map(|(name, _, checks)| format!("{name} {checks:?}"))
            .collect()
    }

    #[test]
    fn the_matrix_contains_long_term_newest_and_locked_kernels() {
        assert_eq!(
            names(&[]),
            [
                "6.1 All",
                "6.12 All",
                "5.10 AllLimited",
                "7.1 Builds",
                "7.2 Builds",
                "7.3 Builds",
                "6.12-integrity Integrity",
                "6.12-confidentiality Confidentiality"
            ]
        );
    }

    #[test]
    fn every_kernel_can_be_selected_and_locked_down() {
        assert_eq!(
            names(&["6.1-confidentiality", "6.19"]),
            ["6.19 Builds", "6.1-confidentiality Confidentiality"]
        );
        assert!(plan(&["6.2".to_owned()], &THERE).is_err());
    }
}
