//! The reasons why differences between two builds need not be effects of a change.

use schemars::JsonSchema;
use serde::Serialize;

use super::{PackageChange, PackageState};
use crate::finished::FinishedBuild;
use crate::model::{Build, State};

/// One of the two builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Before,
    After,
}

/// A reason why some differences need not be effects of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "caveat", rename_all = "snake_case")]
pub enum Caveat {
    /// The main modules differ, or are not known.
    OtherProject {
        before: Option<String>,
        after: Option<String>,
    },
    /// The commands differ.
    OtherCommand { before: String, after: String },
    /// The operating systems or architectures of the outputs differ.
    OtherPlatform { before: String, after: String },
    /// A build did not succeed: it ended early, or its end was not seen.
    NotSucceeded { side: Side, state: State },
    /// A build compiled packages that the other one took from the build cache.
    OtherCache {
        /// The build that compiled them.
        side: Side,
        packages: u64,
        /// The CPU time of their compilation.
        cpu_ns: u64,
    },
    /// The names of the machines differ.
    OtherMachine {
        before: Option<String>,
        after: Option<String>,
    },
    /// The builds had different numbers of CPUs.
    OtherCpus { before: u32, after: u32 },
    /// Facts of a build are missing, for example because records were lost.
    Gaps { side: Side, anomalies: u64 },
    /// The build was traced without the probes that show cached packages.
    NoActions { side: Side },
}

/// The caveats, the most important first.
pub(super) fn caveats(
    before: FinishedBuild<'_>,
    after: FinishedBuild<'_>,
    packages: &[PackageChange],
) -> Vec<Caveat> {
    let mut caveats = Vec::new();
    let (first, second) = (before.build, after.build);
    if first.module != second.module || first.module.is_none() {
        caveats.push(Caveat::OtherProject {
            before: first.module.clone(),
            after: second.module.clone(),
        });
    }
    let (command, other) = (words(first), words(second));
    if command != other {
        caveats.push(Caveat::OtherCommand {
            before: command,
            after: other,
        });
    }
    let (os, other) = (platform(first), platform(second));
    if os != other {
        caveats.push(Caveat::OtherPlatform {
            before: os,
            after: other,
        });
    }
    let sides = [(Side::Before, before), (Side::After, after)];
    for (side, it) in sides {
        let state = State::of(it.build);
        if state != State::Succeeded {
            caveats.push(Caveat::NotSucceeded { side, state });
        }
    }
    caveats.extend(sides.into_iter().filter_map(|it| cache(it.0, packages)));
    let (host, other) = (&before.trace.host, &after.trace.host);
    if host != other {
        caveats.push(Caveat::OtherMachine {
            before: host.clone(),
            after: other.clone(),
        });
    }
    let (cpus, other) = (before.trace.cpus, after.trace.cpus);
    if cpus != other {
        caveats.push(Caveat::OtherCpus {
            before: cpus,
            after: other,
        });
    }
    for (side, it) in sides {
        let n = it.build.anomalies.len();
        if n > 0 {
            let anomalies = u64::try_from(n).unwrap_or(u64::MAX);
            caveats.push(Caveat::Gaps { side, anomalies });
        }
        if it.build.actions.is_empty() {
            caveats.push(Caveat::NoActions { side });
        }
    }
    caveats
}

fn cache(side: Side, packages: &[PackageChange]) -> Option<Caveat> {
    let of_side = |it: &PackageChange| match side {
        Side::Before => (it.before, it.before_cpu_ns, it.after),
        Side::After => (it.after, it.after_cpu_ns, it.before),
    };
    let only = packages.iter().map(of_side).filter(|(state, _, other)| {
        *state == PackageState::Compiled && *other == PackageState::Cached
    });
    let (n, cpu_ns) = only.fold((0u64, 0u64), |(n, sum), (_, cpu_ns, _)| {
        (n + 1, sum.saturating_add(cpu_ns.unwrap_or(0)))
    });
    (n > 0).then_some(Caveat::OtherCache {
        side,
        packages: n,
        cpu_ns,
    })
}

/// `go build ./...` of the command as meant, without flags.
fn words(build: &Build) -> String {
    let packages = build.command.packages.iter().map(|it| it.to_str());
    let mut words = vec![build.command.name.clone().into()];
    words.extend(packages);
    words.join(" ")
}

fn platform(build: &Build) -> String {
    let known = |it: &Option<String>| it.clone().unwrap_or_else(|| "not known".to_owned());
    format!(
        "{}/{}",
        known(&build.toolchain.goos),
        known(&build.toolchain.goarch)
    )
}
