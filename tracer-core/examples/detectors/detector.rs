//! Runs a detector over a series, build by build, as a history of judgements would.

use tracer_core::judge::creep::creep;
use tracer_core::judge::cusum::suspicion;
use tracer_core::judge::exact::{Unit, change};
use tracer_core::judge::level::Direction;
use tracer_core::judge::noisy::{Noisy, noisy};
use tracer_core::judge::step::step;
use tracer_core::judge::window::Band;

/// An alarm at one build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alarm {
    /// Index of the build at which the change began, according to the detector.
    pub(crate) at: usize,
    /// Index of the build that raised the alarm.
    pub(crate) seen: usize,
    pub(crate) direction: Direction,
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
    /// The judgement of a size.
    Exact,
}

impl Detector {
    pub(crate) const ALL: [Self; 6] = [
        Self::Band,
        Self::Cusum,
        Self::Step,
        Self::Creep,
        Self::Noisy,
        Self::Exact,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Band => "mean + 1.5 s",
            Self::Cusum => "CUSUM",
            Self::Step => "t rule",
            Self::Creep => "anchor",
            Self::Noisy => "noisy",
            Self::Exact => "exact",
        }
    }

    /// All alarms of a series. After each alarm, the level that it found is accepted.
    pub(crate) fn alarms(self, values: &[u64]) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        let mut since = 0;
        let mut was_outside = false;
        for seen in 0..values.len() {
            let found = match self {
                Self::Band => {
                    let outside = outside(&values[..=seen]);
                    let is_new = !std::mem::replace(&mut was_outside, outside.is_some());
                    outside.filter(|_| is_new).map(|it| (seen, it))
                }
                Self::Exact => {
                    change(&values[..=seen], since, Unit::Bytes).map(|it| (seen, it.direction))
                }
                Self::Cusum | Self::Step | Self::Creep | Self::Noisy => self
                    .level(&values[since..=seen])
                    .map(|(at, direction)| (since + at, direction)),
            };
            if let Some((at, direction)) = found {
                since = at;
                alarms.push(Alarm {
                    at,
                    seen,
                    direction,
                });
            }
        }
        alarms
    }

    /// The new level, in builds since the accepted one.
    fn level(self, values: &[u64]) -> Option<(usize, Direction)> {
        match self {
            Self::Cusum => suspicion(values).map(|it| (it.since, it.direction)),
            Self::Step => step(values).map(|it| (it.at, it.direction)),
            Self::Creep => creep(values).map(|it| (it.to, it.direction)),
            Self::Noisy => match noisy(values) {
                Noisy::Step(it) => Some((it.at, it.direction)),
                Noisy::Creep(it) => Some((it.to, it.direction)),
                Noisy::TwoModes(_) | Noisy::Suspected(_) | Noisy::Usual => None,
            },
            Self::Band | Self::Exact => None,
        }
    }
}

/// The side of the lines on which the last build is.
fn outside(values: &[u64]) -> Option<Direction> {
    let (last, past) = values.split_last()?;
    let band = Band::of(past)?;
    #[expect(clippy::cast_precision_loss, reason = "compared with a mean")]
    let last = *last as f64;
    if last > band.upper {
        Some(Direction::Up)
    } else if last < band.lower {
        Some(Direction::Down)
    } else {
        None
    }
}
