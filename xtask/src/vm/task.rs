//! What is to be run: which kernels, how each is started, and what is asked of gotrace on it.
//!
//! Nothing here fetches or starts anything.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The first two numbers of a kernel's version.
pub(super) type Series = (u32, u32);

/// Kernels that are maintained for long and widely run.
const LONG_TERM: [Series; 3] = [(5, 10), (6, 1), (6, 12)];

/// The first that does not count the memory of maps against the limit of locked memory.
const FIRST_WITHOUT_LIMIT: Series = (5, 11);

/// The one that is locked down as well.
const LOCKED: Series = (6, 12);

/// How many of the newest are run as well.
const N_NEWEST: usize = 3;

/// A guest.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) image: PathBuf,
    pub(super) asked: Asked,
}

/// What a guest is asked; `init.sh` does it. Those that take longest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// Builds by both toolchains, exactly, and the newest one's again where the machine is set up against it.
    All,
    /// The same on a kernel that refuses where little memory may be locked.
    AllLimited,
    /// Builds by both toolchains, exactly.
    Builds,
    /// One build, exactly, on a kernel that is locked down as Secure Boot does it.
    Integrity,
    /// What gotrace does on a kernel that lets nobody read its memory.
    Confidentiality,
}

impl Asked {
    /// What is added to the kernel's command line.
    pub(super) fn boot_words(self) -> &'static str {
        match self {
            Self::All | Self::AllLimited => "gotrace.asked=all",
            Self::Builds => "gotrace.asked=builds",
            Self::Integrity => "gotrace.asked=integrity lockdown=integrity",
            Self::Confidentiality => "gotrace.asked=confidentiality lockdown=confidentiality",
        }
    }

    /// What is asked of a kernel that is not locked down.
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

/// What these names mean (`6.12`, `6.12-integrity`, `6.12-confidentiality`), or without any what the matrix has, of all the kernels
/// that there are, the longest first.
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
    fn the_matrix_is_the_long_lived_the_newest_and_the_locked() {
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
    fn every_kernel_can_be_named_and_locked() {
        assert_eq!(
            names(&["6.1-confidentiality", "6.19"]),
            ["6.19 Builds", "6.1-confidentiality Confidentiality"]
        );
        assert!(plan(&["6.2".to_owned()], &THERE).is_err());
    }
}
