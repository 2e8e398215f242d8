//! The sentences for the limits of a comparison.

use tracer_core::compare::{Caveat, Side};

use super::units;

/// One sentence, without a full stop.
pub(super) fn sentence(caveat: &Caveat) -> String {
    let known = |it: &Option<String>| it.clone().unwrap_or_else(|| super::NOT_KNOWN.to_owned());
    match caveat {
        Caveat::OtherProject { before, after } => format!(
            "The projects differ or are not known: {} and {}",
            known(before),
            known(after)
        ),
        Caveat::OtherCommand { before, after } => {
            format!("The commands differ: `{before}` and `{after}`")
        }
        Caveat::OtherPlatform { before, after } => {
            format!("The builds are for different platforms: {before} and {after}")
        }
        Caveat::NotSucceeded { side, state } => {
            format!(
                "The {} build is {}: parts of it may be missing",
                name(*side),
                state.name()
            )
        }
        Caveat::OtherCache {
            side,
            packages,
            cpu_ns,
        } => format!(
            "The caches differed: the {} build compiled {} for {} of CPU that the {} took from the build cache",
            name(*side),
            units::counted(*packages, "package", "packages"),
            units::span(*cpu_ns),
            name(other(*side))
        ),
        Caveat::OtherMachine { before, after } => format!(
            "The machines differ: {} and {}. Times of different machines are not comparable",
            known(before),
            known(after)
        ),
        Caveat::OtherCpus { before, after } => {
            format!("The numbers of CPUs differ: {before} and {after}")
        }
        Caveat::Gaps { side, anomalies } => format!(
            "{} of the {} build: `gotrace show` names the missing facts",
            units::counted(*anomalies, "gap in the facts", "gaps in the facts"),
            name(*side)
        ),
        Caveat::NoActions { side } => format!(
            "The {} build was traced without actions, so its cached packages are not known",
            name(*side)
        ),
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Before => "first",
        Side::After => "second",
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Before => Side::After,
        Side::After => Side::Before,
    }
}
