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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::level::Direction;
    use crate::judge::sample::noisy_around;

    fn judged(values: &[u64]) -> Vec<Noisy> {
        (1..=values.len()).map(|n| noisy(&values[..n])).collect()
    }

    #[test]
    fn a_step_is_suspected_before_it_is_confirmed() {
        let mut values = noisy_around(1000, 40);
        values.extend(noisy_around(1100, 7));
        let judged = judged(&values);
        assert!(matches!(judged[43], Noisy::Suspected(it) if it.since == 40));
        assert!(matches!(judged[46], Noisy::Step(it) if it.at == 40));
        assert_eq!(judged[39], Noisy::Usual);
    }

    /// The rarer mode is more frequent in the end, so that the medians of both windows differ.
    #[test]
    fn two_modes_are_not_judged() {
        let turns = |every: usize, n: usize| {
            let (low, high) = (noisy_around(1000, n), noisy_around(2000, n));
            let pairs = low.into_iter().zip(high).enumerate();
            pairs.map(move |(at, (low, high))| if at % every == 0 { high } else { low })
        };
        let mut values: Vec<u64> = turns(5, 40).collect();
        let rare = 3000;
        values.extend(turns(5, 40).map(|it| rare - it));
        let judged = judged(&values);
        let is_finding = |it: &Noisy| matches!(it, Noisy::Step(_) | Noisy::Creep(_));
        assert_eq!(judged.iter().position(is_finding), None);
        let are_modes = |it: &Noisy| matches!(it, Noisy::TwoModes(_));
        assert!(judged.iter().any(are_modes));
    }

    #[test]
    fn a_slow_rise_is_a_creep() {
        let mut values = noisy_around(100_000, 40);
        let rise = noisy_around(100_000, 160).into_iter().zip(0..);
        values.extend(rise.map(|(value, at): (u64, u64)| value + 60 * at));
        let judged = judged(&values);
        let finding = judged
            .iter()
            .find(|it| matches!(it, Noisy::Step(_) | Noisy::Creep(_)));
        let Some(Noisy::Creep(found)) = finding else {
            panic!("{finding:?}");
        };
        assert_eq!((found.from, found.direction), (ANCHOR, Direction::Up));
    }

    proptest! {
        #[test]
        fn a_constant_series_is_usual(value: u64, n in 0_usize..100) {
            prop_assert_eq!(noisy(&vec![value; n]), Noisy::Usual);
        }

        #[test]
        fn any_values_are_judged(values in prop::collection::vec(any::<u64>(), 0..100)) {
            if let Noisy::TwoModes(found) = noisy(&values) {
                prop_assert!(found.low.median < found.high.median);
            }
        }
    }
}
