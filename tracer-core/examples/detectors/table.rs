//! Scores of all detectors on generated histories, as one table for each class of metric.

use crate::detector::Detector;
use crate::history::{BUILDS, Kind};
use crate::noise::Class;
use crate::score::Score;

/// Histories of each kind and class.
const HISTORIES: u64 = 40;

pub(crate) fn run(seed: u64) {
    println!("{HISTORIES} histories of each kind, {BUILDS} builds each, seed {seed}");
    println!("a cell: changes found, false alarms, median delay in builds");
    for class in Class::ALL {
        let detectors = match class {
            Class::Cpu | Class::QuietCpu | Class::Memory => Detector::OF_NOISY,
            Class::Size => Detector::OF_SIZES,
            Class::Count => Detector::OF_COUNTS,
        };
        println!();
        line(
            class.name(),
            detectors.iter().map(|it| it.name().to_owned()),
        );
        let mut total = vec![Score::default(); detectors.len()];
        for kind in Kind::ALL {
            let mut row = vec![Score::default(); detectors.len()];
            for n in 0..HISTORIES {
                let (values, truths) = kind.generate(class, seed.wrapping_mul(1_000_003) + n);
                for (score, detector) in row.iter_mut().zip(detectors) {
                    *score += Score::of(&truths, &detector.alarms(&values));
                }
            }
            line(&kind.name(), row.iter().map(cell));
            for (total, score) in total.iter_mut().zip(row) {
                *total += score;
            }
        }
        line("recall", total.iter().map(|it| percent(it.recall())));
        line("precision", total.iter().map(|it| percent(it.precision())));
    }
}

fn line(name: &str, cells: impl Iterator<Item = String>) {
    print!("{name:<18}");
    for cell in cells {
        print!(" {cell:>14}");
    }
    println!();
}

/// Found changes of all changes, false alarms, and the median delay.
fn cell(score: &Score) -> String {
    let delay = score.delay().map_or("-".to_owned(), |it| it.to_string());
    format!(
        "{}/{} {} {delay}",
        score.delays.len(),
        score.n_changes,
        score.n_false
    )
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |it| format!("{:.0} %", it * 100.0))
}
