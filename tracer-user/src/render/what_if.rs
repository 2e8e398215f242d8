//! A predicted build as text.

use std::io::{self, Write};

use tracer_core::model::{Build, State};
use tracer_core::schedule::{Fit, Prediction, WhatIf};

use super::style::{Line, Page, Paint, Style, Table};
use super::text::command_line;
use super::units;

/// Errors of `cargo xtask bench what-if`, in percent: half of the predictions were closer than the first, all closer than the second.
pub(super) const MEASURED_ERRORS: (&str, &str) = ("9", "14");

/// The meaning of the sums of peaks.
pub(super) const PEAKS: &str =
    "A sum of peaks is that of tools that run at once in the simulation, without the go command.";

/// Writes the measured and the predicted time, and the error of the model.
pub fn what_if(
    build: &Build,
    what_if: &WhatIf,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style);
    page.line(Line::painted(Paint::Bold, &command_line(build)));
    let it = &what_if.prediction;
    let mut table = Table::of_texts();
    table.row(row(
        "measured",
        it.measured_ns,
        (it.cpus, it.workers),
        it.peak_bytes,
        "",
    ));
    let change = change(it.measured_ns, it.predicted_ns);
    table.row(row(
        "predicted",
        it.predicted_ns,
        (it.predicted_cpus, it.predicted_workers),
        it.predicted_peak_bytes,
        &change,
    ));
    table.put(&mut page, &Line::plain("  "), 10);
    if let Some(fit) = &what_if.memory {
        page.gap();
        memory(&mut page, fit);
    }
    page.gap();
    error(&mut page, build, it);
    page.write(out)
}

/// Writes the error of the model for this build, and its errors in measurements.
pub(super) fn error(page: &mut Page<'_>, build: &Build, it: &Prediction) {
    if State::of(build) == State::Failed {
        let text = "The build failed: the numbers cover only the actions that ran.";
        page.line(Line::plain("  ").then_painted(Paint::Warn, text));
    }
    let simulated = units::span(it.simulated_ns);
    let change = change(it.measured_ns, it.simulated_ns);
    let (half, all) = MEASURED_ERRORS;
    let own = format!("The model gives {simulated} for the build as it was ({change}).");
    page.sentence(Line::plain("  "), &own, 2);
    let measured = format!(
        "Half of the measured predictions were within {half} % of the real time, and all within {all} %."
    );
    page.sentence(Line::plain("  "), &measured, 2);
    page.line(Line::plain(
        "  The model assumes that nothing else uses the machine.",
    ));
    if it.n_unknown > 0 {
        let text = format!(
            "{} may have waited for more than the graph shows: their imports are not known.",
            units::counted(u64::from(it.n_unknown), "action", "actions")
        );
        page.sentence(Line::plain("  "), &text, 3);
    }
}

fn row(name: &str, ns: u64, (cpus, workers): (u32, u32), peak: u64, change: &str) -> Vec<Line> {
    let cpus = units::counted(u64::from(cpus), "CPU", "CPUs");
    let workers = format!("-p {workers}");
    let peak = format!("peaks of {}", units::memory(peak));
    vec![
        Line::plain(name),
        Line::painted(Paint::Bold, &units::span(ns)),
        Line::plain(&cpus),
        Line::plain(&workers),
        Line::plain(&peak),
        Line::plain(change),
    ]
}

fn memory(page: &mut Page<'_>, fit: &Fit) {
    let limit = units::memory(fit.limit_bytes);
    let text = if let Some(it) = &fit.fitting {
        format!(
            "With -p {}, the peaks of the tools add up to {} and fit in {limit}; the build takes {}.",
            it.predicted_workers,
            units::memory(it.predicted_peak_bytes),
            units::span(it.predicted_ns)
        )
    } else {
        let more = match fit.go_memory_limit_bytes {
            Some(it) => format!(
                "With -p 1 and GOMEMLIMIT={}MiB, each tool most likely fits.",
                it >> 20
            ),
            None => "No GOMEMLIMIT is known with which it fits.".to_owned(),
        };
        format!("No -p fits in {limit}, because a single tool needs more. {more}")
    };
    page.sentence(Line::plain("  "), &text, 4);
    page.sentence(Line::plain("  "), PEAKS, 3);
}

/// `-45 %`, `+0.4 %`.
pub(super) fn change(before: u64, after: u64) -> String {
    if before == 0 {
        return "-".to_owned();
    }
    let difference = units::share(before.abs_diff(after), before);
    match after.cmp(&before) {
        std::cmp::Ordering::Less => format!("-{difference}"),
        std::cmp::Ordering::Equal => "no change".to_owned(),
        std::cmp::Ordering::Greater => format!("+{difference}"),
    }
}
