//! Runs a detector over a series, build by build, as a history of judgements would.

use tracer_core::judge::creep::{Creep, creep};
use tracer_core::judge::cusum::suspicion;
use tracer_core::judge::exact::{Exact, Unit, exact};
use tracer_core::judge::level::Direction;
use tracer_core::judge::noisy::{Noisy, noisy};
use tracer_core::judge::step::{Step, step};
use tracer_core::judge::window::Band;

/// An alarm at one build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alarm {
    /// First and last index of the builds among which the change began, according to the detector.
    pub(crate) from: usize,
    pub(crate) at: usize,
    /// Index of the build that raised the alarm.
    pub(crate) seen: usize,
    pub(crate) direction: Direction,
    /// Medians before and after, from detectors that compare two levels.
    pub(crate) levels: Option<(f64, f64)>,
}

/// A detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detector {
    /// Mean plus or minus 1.5 sigma. An alarm is a build outside of the lines whose predecessor is inside.
    Band,
    Cusum,
    /// The t rule alone.
    Step,
    /// The anchor alone.
    Creep,
    /// The judgement of a noisy metric: the t rule and the anchor, without interleaved modes.
    Noisy,
    /// The judgement of a size or a count.
    Exact(Unit),
}

impl Detector {
    pub(crate) const OF_NOISY: &[Self] = &[
        Self::Band,
        Self::Cusum,
        Self::Step,
        Self::Creep,
        Self::Noisy,
    ];
    pub(crate) const OF_SIZES: &[Self] = &[Self::Band, Self::Exact(Unit::Bytes)];
    pub(crate) const OF_COUNTS: &[Self] = &[Self::Band, Self::Exact(Unit::Count)];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Band => "mean + 1.5 s",
            Self::Cusum => "CUSUM",
            Self::Step => "t rule",
            Self::Creep => "anchor",
            Self::Noisy => "noisy",
            Self::Exact(_) => "exact",
        }
    }

    /// All alarms of a series. After each alarm, the level that it found is accepted.
    pub(crate) fn alarms(self, values: &[u64]) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        let mut since = 0;
        let mut was_outside = false;
        for seen in 0..values.len() {
            let level = &values[since..=seen];
            let found = match self {
                Self::Band => {
                    let outside = outside(&values[..=seen]);
                    let is_new = !std::mem::replace(&mut was_outside, outside.is_some());
                    outside.filter(|_| is_new).map(|it| at_once(seen, it))
                }
                Self::Cusum => suspicion(level).map(|it| at_once(since + it.since, it.direction)),
                Self::Step => step(level).map(|it| of_step(&it, since)),
                Self::Creep => creep(level).map(|it| of_creep(&it, since)),
                Self::Noisy => match noisy(level) {
                    Noisy::Step(it) => Some(of_step(&it, since)),
                    Noisy::Creep(it) => Some(of_creep(&it, since)),
                    Noisy::TwoModes(_) | Noisy::Suspected(_) | Noisy::Usual => None,
                },
                Self::Exact(unit) => match exact(&values[..=seen], since, unit) {
                    Exact::Change(it) => Some(Alarm {
                        levels: Some((it.before.median, real(it.now))),
                        ..at_once(seen, it.direction)
                    }),
                    Exact::Creep(it) => Some(of_creep(&it, since)),
                    Exact::Usual => None,
                },
            };
            if let Some(found) = found {
                since = found.at;
                alarms.push(Alarm { seen, ..found });
            }
        }
        alarms
    }
}

/// An alarm that names one build.
fn at_once(at: usize, direction: Direction) -> Alarm {
    Alarm {
        from: at,
        at,
        seen: at,
        direction,
        levels: None,
    }
}

fn of_step(step: &Step, since: usize) -> Alarm {
    Alarm {
        levels: Some((step.before.median, step.after.median)),
        ..at_once(since + step.at, step.direction)
    }
}

fn of_creep(creep: &Creep, since: usize) -> Alarm {
    Alarm {
        from: since + creep.from,
        levels: Some((creep.before.median, creep.after.median)),
        ..at_once(since + creep.to, creep.direction)
    }
}

/// The side of the lines on which the last build is.
fn outside(values: &[u64]) -> Option<Direction> {
    let (last, past) = values.split_last()?;
    let band = Band::of(past)?;
    if real(*last) > band.upper {
        Some(Direction::Up)
    } else if real(*last) < band.lower {
        Some(Direction::Down)
    } else {
        None
    }
}

#[expect(clippy::cast_precision_loss, reason = "compared and printed only")]
fn real(value: u64) -> f64 {
    value as f64
}
