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
    pub(super) asked: Asked,
}

/// The checks in a guest; `init.sh` runs them. The longest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
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

impl Asked {
    /// Additions to the kernel's command line.
    pub(super) fn boot_words(self) -> &'static str {
        match self {
            Self::All | Self::AllLimited => "gotrace.asked=all",
            Self::Builds => "gotrace.asked=builds",
            Self::Integrity => "gotrace.asked=integrity lockdown=integrity",
            Self::Confidentiality => "gotrace.asked=confidentiality lockdown=confidentiality",
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
pub(super) fn plan(names: &[String], there: &[Series]) -> Result<Vec<(String, Series, Asked)>> {
    let mut plan = if names.is_empty() {
        matrix(there)
    } else {
        let rows = names.iter().map(|wanted| {
            let row = row(wanted, there);
            row.with_context(|| format!("Debian has no kernel {wanted}: it has {there:?}"))
        });
        rows.collect::<Result<_>>()?
    };
    plan.sort_by_key(|(_, series, asked)| (*asked, *series));
    Ok(plan)
}

fn matrix(there: &[Series]) -> Vec<(String, Series, Asked)> {
    let mut newest = there.to_vec();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    newest.retain(|it| !LONG_TERM.contains(it));
    newest.truncate(N_NEWEST);
    let usual = LONG_TERM.into_iter().chain(newest);
    let usual = usual.map(|it| (it, Asked::usual(it)));
    let locked = [Asked::Integrity, Asked::Confidentiality].map(|it| (LOCKED, it));
    usual
        .chain(locked)
        .map(|(series, asked)| (name(series, asked), series, asked))
        .collect()
}

fn row(wanted: &str, there: &[Series]) -> Option<(String, Series, Asked)> {
    let of = |series: Series| {
        [
            Asked::usual(series),
            Asked::Integrity,
            Asked::Confidentiality,
        ]
    };
    let mut all = there
        .iter()
        .flat_map(|series| of(*series).map(|asked| (name(*series, asked), *series, asked)));
    all.find(|(name, _, _)| name == wanted)
}

fn name((major, minor): Series, asked: Asked) -> String {
    match asked {
        Asked::All | Asked::AllLimited | Asked::Builds => format!("{major}.{minor}"),
        Asked::Integrity => format!("{major}.{minor}-integrity"),
        Asked::Confidentiality => format!("{major}.{minor}-confidentiality"),
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
            .map(|(name, _, asked)| format!("{name} {asked:?}"))
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
