//! Compares alarms with the true changes.

use std::ops::AddAssign;

use crate::detector::Alarm;
use crate::history::Truth;

/// Builds after a change in which an alarm still belongs to it.
const LATE: usize = 60;
/// Largest distance between a change and the build that an alarm names.
const AROUND: usize = 12;

/// The score of a detector on some series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Score {
    pub(crate) n_changes: usize,
    /// Delay of each change that was found, in builds.
    pub(crate) delays: Vec<usize>,
    /// Alarms that belong to no change, and further alarms of a step.
    pub(crate) n_false: usize,
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.n_changes += other.n_changes;
        self.delays.extend(other.delays);
        self.n_false += other.n_false;
    }
}

impl Score {
    pub(crate) fn of(truths: &[Truth], alarms: &[Alarm]) -> Self {
        let mut found: Vec<Option<usize>> = vec![None; truths.len()];
        let mut n_false = 0;
        for alarm in alarms {
            let belongs = |truth: &Truth| {
                let in_time = (truth.at..truth.end + LATE).contains(&alarm.seen);
                let is_near = truth.at <= alarm.at + AROUND && alarm.from < truth.end + AROUND;
                let is_same = truth.direction.is_none_or(|it| it == alarm.direction);
                in_time && is_near && is_same
            };
            let of_alarm: Vec<usize> = (0..truths.len())
                .filter(|at| belongs(&truths[*at]))
                .collect();
            let new = of_alarm.iter().find(|at| found[**at].is_none());
            if let Some(new) = new {
                found[*new] = Some(alarm.seen - truths[*new].at);
            } else if !of_alarm
                .iter()
                .any(|at| truths[*at].end > truths[*at].at + 1)
            {
                n_false += 1;
            }
        }
        Self {
            n_changes: truths.len(),
            delays: found.into_iter().flatten().collect(),
            n_false,
        }
    }

    pub(crate) fn recall(&self) -> Option<f64> {
        share(self.delays.len(), self.n_changes)
    }

    /// True alarms of all alarms. Further alarms of a creep do not count.
    pub(crate) fn precision(&self) -> Option<f64> {
        share(self.delays.len(), self.delays.len() + self.n_false)
    }

    /// Median delay.
    pub(crate) fn delay(&self) -> Option<usize> {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied()
    }

    pub(crate) fn longest_delay(&self) -> Option<usize> {
        self.delays.iter().max().copied()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of alarms")]
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use tracer_core::judge::level::Direction;

    use super::*;

    fn alarm(at: usize, seen: usize) -> Alarm {
        Alarm {
            from: at,
            at,
            seen,
            direction: Direction::Up,
            levels: None,
        }
    }

    fn truth(at: usize, end: usize) -> Truth {
        Truth {
            at,
            end,
            direction: None,
        }
    }

    #[test]
    fn only_the_first_alarm_of_a_step_counts() {
        let score = Score::of(
            &[truth(50, 51)],
            &[alarm(49, 56), alarm(55, 60), alarm(200, 206)],
        );
        assert_eq!((score.delays.as_slice(), score.n_false), (&[6][..], 2));
        assert_eq!(
            (score.recall(), score.precision()),
            (Some(1.0), Some(1.0 / 3.0))
        );
    }

    #[test]
    fn a_creep_is_reported_more_than_once() {
        let score = Score::of(&[truth(50, 150)], &[alarm(60, 80), alarm(110, 130)]);
        assert_eq!((score.delays.as_slice(), score.n_false), (&[30][..], 0));
    }

    #[test]
    fn an_early_a_late_and_an_opposite_alarm_are_false() {
        let mut down = truth(50, 51);
        let alarms = [alarm(45, 49), alarm(50, 111), alarm(70, 76)];
        assert_eq!(Score::of(&[down], &alarms).n_false, 3);
        down.direction = Some(Direction::Down);
        let score = Score::of(&[down], &[alarm(50, 56)]);
        assert_eq!((score.recall(), score.n_false), (Some(0.0), 1));
    }
}
