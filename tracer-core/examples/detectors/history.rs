//! Generated histories of one metric, with their true changes.

use tracer_core::judge::level::Direction;

use crate::noise::Class;
use crate::random::Random;

/// Builds in a history.
pub(crate) const BUILDS: usize = 300;

/// A change that is really there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    /// Index of the first changed build.
    pub(crate) at: usize,
    /// Index after the last build that is unlike its predecessor: `at + 1` for a step.
    pub(crate) end: usize,
    /// Not known of labelled series.
    pub(crate) direction: Option<Direction>,
}

impl Truth {
    fn step(at: usize, direction: Direction) -> Self {
        Self {
            at,
            end: at + 1,
            direction: Some(direction),
        }
    }
}

/// The course of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Unchanged,
    /// A step up by this percentage.
    Step(f64),
    /// A slow rise of 20 % over 100 builds.
    Creep,
    /// One build in thirty takes up to three times as much.
    Spikes,
    /// Three builds in ten take twice as much.
    TwoModes,
    /// One build in five has a cold cache and takes ten times as much. Later both grow by 20 %.
    ColdAndWarm,
    /// A period of 24 builds, 3 % up and down.
    Season,
    /// 20 % less, and as much as before after 60 builds.
    ThereAndBack,
    /// A step of 10 % in a history that lost two builds in five.
    Holes,
}

impl Kind {
    pub(crate) const ALL: [Self; 15] = [
        Self::Unchanged,
        Self::Step(1.0),
        Self::Step(2.0),
        Self::Step(3.0),
        Self::Step(5.0),
        Self::Step(10.0),
        Self::Step(20.0),
        Self::Step(50.0),
        Self::Creep,
        Self::Spikes,
        Self::TwoModes,
        Self::ColdAndWarm,
        Self::Season,
        Self::ThereAndBack,
        Self::Holes,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Unchanged => "unchanged".to_owned(),
            Self::Step(percent) => format!("step of {percent} %"),
            Self::Creep => "creep".to_owned(),
            Self::Spikes => "spikes".to_owned(),
            Self::TwoModes => "two modes".to_owned(),
            Self::ColdAndWarm => "cold and warm".to_owned(),
            Self::Season => "season".to_owned(),
            Self::ThereAndBack => "there and back".to_owned(),
            Self::Holes => "holes".to_owned(),
        }
    }

    /// A history of this kind, and its true changes.
    pub(crate) fn generate(self, class: Class, seed: u64) -> (Vec<u64>, Vec<Truth>) {
        let random = &mut Random::new(seed);
        let at = random.index(80..180);
        let mut truths = Vec::new();
        let mut factors = class.factors(BUILDS, random);
        match self {
            Self::Unchanged => {}
            Self::Step(percent) => {
                scale(&mut factors[at..], 1.0 + percent / 100.0);
                truths.push(Truth::step(at, Direction::Up));
            }
            Self::Creep => {
                for (later, factor) in factors[at..].iter_mut().enumerate() {
                    *factor *= 1.0 + 0.2 * share(later, 100).min(1.0);
                }
                truths.push(Truth {
                    at,
                    end: at + 100,
                    direction: Some(Direction::Up),
                });
            }
            Self::Spikes => {
                for factor in &mut factors {
                    if random.chance(1.0 / 30.0) {
                        *factor *= 1.5 + 1.5 * random.uniform();
                    }
                }
            }
            Self::TwoModes => {
                for factor in &mut factors {
                    if random.chance(0.3) {
                        *factor *= 2.0;
                    }
                }
            }
            Self::ColdAndWarm => {
                for factor in &mut factors {
                    if random.chance(0.2) {
                        *factor *= 10.0;
                    }
                }
                scale(&mut factors[at..], 1.2);
                truths.push(Truth::step(at, Direction::Up));
            }
            Self::Season => {
                for (at, factor) in factors.iter_mut().enumerate() {
                    *factor *= 1.0 + 0.03 * (std::f64::consts::TAU * share(at, 24)).sin();
                }
            }
            Self::ThereAndBack => {
                scale(&mut factors[at..at + 60], 0.8);
                truths.push(Truth::step(at, Direction::Down));
                truths.push(Truth::step(at + 60, Direction::Up));
            }
            Self::Holes => {
                scale(&mut factors[at..], 1.1);
                let built: Vec<bool> = factors.iter().map(|_| random.chance(0.6)).collect();
                let before = built[..at].iter().filter(|it| **it).count();
                let mut built = built.into_iter();
                factors.retain(|_| built.next() == Some(true));
                truths.push(Truth::step(before, Direction::Up));
            }
        }
        let values = factors.iter().map(|it| value(class.typical() * it));
        (values.collect(), truths)
    }
}

fn scale(factors: &mut [f64], by: f64) {
    for factor in factors {
        *factor *= by;
    }
}

/// The quotient of two numbers of builds.
#[expect(clippy::cast_precision_loss, reason = "a number of builds")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive value far below 2^53"
)]
fn value(of: f64) -> u64 {
    of.round() as u64
}
