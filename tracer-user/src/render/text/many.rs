//! Several builds under one command: `make`, a script, `go generate` that runs `go`.

use std::collections::HashMap;

use tracer_core::event::ProcKey;
use tracer_core::model::{Build, State, Trace};
use tracer_core::report::{BuildReport, Report};

use super::{build, output, word};
use crate::render::style::{Line, Page, Paint, Style, Table};
use crate::render::units;

/// Largest number of lines. Of more builds, the failed and the longest ones are listed.
const LINES: usize = 20;
/// Smallest page width for details. Narrower pages show the command and its time only.
const ROOM_FOR_DETAILS: usize = 80;

/// Writes each build as a short block; nested builds are indented.
pub(super) fn blocks(page: &mut Page<'_>, builds: &[Build], numbers: &[BuildReport]) {
    let depths = depths(builds);
    for ((build, numbers), depth) in builds.iter().zip(numbers).zip(depths) {
        page.gap();
        let style = page.style();
        let what = Line::default()
            .pad_to(2 * depth)
            .then_line(mark(numbers.state, style))
            .then(" ");
        let took = Line::painted(Paint::Bold, &units::span(numbers.wall_ns));
        page.spread(what.then_painted(Paint::Bold, &word::build(build)), took);
        build::failure(page, build);
        let mut parts = vec![Line::plain(&packages(build, numbers))];
        if !numbers.is_up_to_date {
            let cores = numbers
                .cores_busy
                .map_or_else(String::new, |it| format!(", {it:.1} cores busy"));
            parts.push(Line::plain(&format!(
                "{} CPU{cores}",
                units::span(numbers.cpu_ns)
            )));
        }
        parts.push(Line::plain(&word::toolchain(&build.toolchain)));
        parts.push(Line::plain("GOFLAGS ").then_line(build::goflags(build)));
        let indent = || Line::default().pad_to(2 * depth + 4);
        page.flow(indent(), &parts, style.dot(), 3);
        let slowest: Vec<Line> = slowest(numbers);
        if !slowest.is_empty() {
            page.flow(
                indent().then_painted(Paint::Dim, "slowest: "),
                &slowest,
                style.dot(),
                1,
            );
        }
        output::outputs(page, build);
    }
}

/// Writes each build as a line.
pub(super) fn lines(page: &mut Page<'_>, builds: &[Build], numbers: &[BuildReport]) {
    page.gap();
    let style = *page.style();
    let all: Vec<_> = builds.iter().zip(numbers).zip(depths(builds)).collect();
    let mut by_weight: Vec<usize> = (0..all.len()).collect();
    by_weight.sort_by_key(|&it| {
        all.get(it)
            .map(|((_, numbers), _)| (numbers.state != State::Failed, u64::MAX - numbers.wall_ns))
    });
    let mut shown: Vec<usize> = by_weight.iter().copied().take(LINES).collect();
    shown.sort_unstable();

    let has_details = style.columns() >= ROOM_FOR_DETAILS;
    let mut table = Table::of_texts();
    for ((build, numbers), depth) in shown.iter().filter_map(|&it| all.get(it)) {
        let what = Line::default()
            .pad_to(2 * depth)
            .then_line(mark(numbers.state, &style))
            .then(" ");
        let mut row = vec![
            what.then(&word::build(build)),
            Line::painted(Paint::Bold, &units::span(numbers.wall_ns)),
        ];
        if has_details {
            row.push(Line::plain(&format!("{} CPU", units::span(numbers.cpu_ns))));
            row.push(Line::plain(&outcome(build, numbers)));
        } else {
            row.push(Line::default());
        }
        table.row(row);
    }
    table.put(page, &Line::plain("  "), 20);
    if let Some(hidden) = all.len().checked_sub(LINES).filter(|it| *it > 0) {
        page.line(word::label("").then_painted(
            Paint::Dim,
            &format!("and {hidden} shorter ones that went well"),
        ));
    }
}

/// Writes the sums over all builds.
pub(super) fn total(page: &mut Page<'_>, trace: &Trace, report: &Report) {
    page.gap();
    let totals = &report.totals;
    let mut parts = vec![Line::plain(&units::counted(
        totals.builds,
        "build",
        "builds",
    ))];
    if totals.builds_failed > 0 {
        parts.push(Line::painted(
            Paint::Bad,
            &format!("{} failed", units::count(totals.builds_failed)),
        ));
    }
    parts.push(Line::plain(&match totals.packages_cached {
        Some(cached) => format!(
            "{} compiled + {} cached",
            units::count(totals.packages_compiled),
            units::count(cached)
        ),
        None => format!(
            "{} compiled",
            units::counted(totals.packages_compiled, "package", "packages")
        ),
    }));
    parts.push(Line::plain(&format!(
        "{} CPU, programs run included",
        units::span(report.cpu_ns)
    )));
    parts.extend(
        report
            .cores_busy
            .map(|it| Line::plain(&word::cores(it, trace.cpus))),
    );
    parts.push(Line::plain(&units::counted(
        totals.outputs,
        "output",
        "outputs",
    )));
    page.flow(word::label("Total"), &parts, page.style().dot(), 2);
}

fn mark(state: State, style: &Style) -> Line {
    match state {
        State::Failed => Line::painted(Paint::Bad, style.cross()),
        State::Succeeded => Line::painted(Paint::Good, style.check()),
        State::Running | State::CutOff | State::Unknown => Line::painted(Paint::Warn, "?"),
    }
}

/// The failure, or the counts of packages.
fn outcome(build: &Build, numbers: &BuildReport) -> String {
    match &build.failure {
        Some(failure) => word::failed(failure),
        None => packages(build, numbers),
    }
}

fn packages(build: &Build, numbers: &BuildReport) -> String {
    match build.packages.cached {
        Some(cached) if numbers.is_up_to_date => {
            format!(
                "up to date, {}",
                units::counted(u64::from(cached), "package", "packages")
            )
        }
        None if numbers.is_up_to_date => "no tool had to run".to_owned(),
        Some(_) | None => word::packages(&build.packages),
    }
}

/// The three longest packages and links.
fn slowest(numbers: &BuildReport) -> Vec<Line> {
    let packages = numbers
        .packages
        .iter()
        .take(3)
        .map(|it| (it.running_ns, it.package.to_string()));
    let links = numbers.links.iter().take(3).map(|it| {
        let package = it
            .package
            .as_ref()
            .map_or_else(String::new, |it| format!(" of {it}"));
        (it.wall_ns, format!("link{package}"))
    });
    let mut slowest: Vec<(u64, String)> = packages.chain(links).collect();
    slowest.sort_by_key(|(ns, _)| std::cmp::Reverse(*ns));
    slowest
        .into_iter()
        .take(3)
        .map(|(ns, what)| Line::plain(&format!("{what} {}", units::span(ns))))
        .collect()
}

/// Depth of nesting of each build.
fn depths(builds: &[Build]) -> Vec<usize> {
    let mut depths: HashMap<ProcKey, usize> = HashMap::new();
    builds
        .iter()
        .map(|build| {
            let depth = build
                .parent
                .and_then(|it| depths.get(&it))
                .map_or(0, |it| (it + 1).min(8));
            depths.insert(build.process, depth);
            depth
        })
        .collect()
}
