//! Scores of all detectors on generated histories, as one table for each class of metric.

use crate::detector::Detector;
use crate::history::{BUILDS, Kind};
use crate::noise::Class;
use crate::score::Score;

/// Histories of each kind and class.
const HISTORIES: u64 = 40;

/// A row of a table: the score of each detector.
type Row = [Score; Detector::ALL.len()];

pub(crate) fn run(seed: u64) {
    println!("{HISTORIES} histories of each kind, {BUILDS} builds each, seed {seed}");
    println!("a cell: changes found, false alarms, median delay in builds");
    for class in Class::ALL {
        println!();
        head(class.name());
        let mut total = Row::default();
        for kind in Kind::ALL {
            let mut row = Row::default();
            for n in 0..HISTORIES {
                let (values, truths) = kind.generate(class, seed.wrapping_mul(1_000_003) + n);
                for (score, detector) in row.iter_mut().zip(Detector::ALL) {
                    *score += Score::of(&truths, &detector.alarms(&values));
                }
            }
            line(&kind.name(), &row, cell);
            for (total, score) in total.iter_mut().zip(row) {
                *total += score;
            }
        }
        line("recall", &total, |it| percent(it.recall()));
        line("precision", &total, |it| percent(it.precision()));
    }
}

pub(crate) fn head(name: &str) {
    print!("{name:<18}");
    for detector in Detector::ALL {
        print!(" {:>16}", detector.name());
    }
    println!();
}

pub(crate) fn line(name: &str, row: &Row, cell: impl Fn(&Score) -> String) {
    print!("{name:<18}");
    for score in row {
        print!(" {:>16}", cell(score));
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
