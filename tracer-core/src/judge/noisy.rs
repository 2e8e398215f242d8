//! Noisy metrics: CPU time and peak memory. A suspicion is listed; only a step or a creep is a finding.

use super::creep::{ANCHOR, Creep, RECENT, creep};
use super::cusum::{Suspicion, suspicion};
use super::level::Level;
use super::modes::{Modes, modes};
use super::step::{AFTER, BEFORE, Step, step};

/// Fewest builds of a mode.
const LEAST_IN_MODE: usize = 3;

/// The judgement of the last build of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noisy {
    Step(Step),
    Creep(Creep),
    /// The builds have two modes, interleaved, and their difference is not judged.
    TwoModes(Modes),
    Suspected(Suspicion),
    Usual,
}

/// Judges the last build. The values begin at the last accepted level, and every build is judged once.
pub fn noisy(values: &[u64]) -> Noisy {
    if let Some(found) = step(values) {
        let window = values.len().saturating_sub(BEFORE + AFTER + 1);
        let modes = two_modes(&values[window..], &found.before, &found.after);
        return modes.map_or(Noisy::Step(found), Noisy::TwoModes);
    }
    if let Some(found) = creep(values) {
        let window = values.len().saturating_sub(ANCHOR + RECENT);
        let modes = two_modes(&values[window..], &found.before, &found.after);
        return modes.map_or(Noisy::Creep(found), Noisy::TwoModes);
    }
    suspicion(values).map_or(Noisy::Usual, Noisy::Suspected)
}

/// Returns two interleaved modes if they explain the difference of two levels.
fn two_modes(values: &[u64], before: &Level, after: &Level) -> Option<Modes> {
    modes(values, LEAST_IN_MODE).filter(|it| it.separate(before, after))
}
