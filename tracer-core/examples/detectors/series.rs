//! Scores of all detectors on labelled series.

use std::path::Path;

use anyhow::Result;
use tracer_core::judge::exact::Unit;

use crate::csv;
use crate::detector::Detector;
use crate::score::Score;

pub(crate) fn run(dir: &Path) -> Result<()> {
    let all = csv::read_all(dir)?;
    println!(
        "{:<14} {:<28} {:>7} {:>8} {:>6} {:>6} {:>6} {:>8}",
        "detector", "series", "builds", "changes", "found", "false", "delay", "longest"
    );
    let exact = Detector::Exact(Unit::Bytes);
    for &detector in Detector::OF_NOISY.iter().chain([&exact]) {
        let mut total = Score::default();
        for series in &all {
            let alarms = detector.alarms(&series.values);
            let score = Score::of(&series.truths, &alarms);
            let name = series
                .path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            print(detector, &name, series.values.len(), &score);
            total += score;
        }
        let n = all.iter().map(|it| it.values.len()).sum();
        print(detector, "total", n, &total);
    }
    println!();
    for series in &all {
        for alarm in Detector::Noisy.alarms(&series.values) {
            let is_false = Score::of(&series.truths, &[alarm]).n_false > 0;
            let (before, after) = alarm.levels.unwrap_or_default();
            println!(
                "{}:{}: noisy: {:?} from {:.6} to {:.6}, confirmed at line {}{}",
                series.path.display(),
                series.lines[alarm.at],
                alarm.direction,
                before / series.unit,
                after / series.unit,
                series.lines[alarm.seen],
                if is_false { ", not labelled" } else { "" }
            );
        }
    }
    Ok(())
}

fn print(detector: Detector, name: &str, n: usize, score: &Score) {
    let builds = |delay: Option<usize>| delay.map_or("-".to_owned(), |it| it.to_string());
    println!(
        "{:<14} {:<28} {n:>7} {:>8} {:>6} {:>6} {:>6} {:>8}",
        detector.name(),
        name,
        score.n_changes,
        score.delays.len(),
        score.n_false,
        builds(score.delay()),
        builds(score.longest_delay())
    );
}
