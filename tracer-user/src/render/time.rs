//! Where the time of a build went, as text.

use std::io::{self, Write};

use tracer_core::model::{Action, Build};
use tracer_core::schedule::{ActionTime, Before, StepKind, TimeReport};

use super::style::{Line, Page, Paint, Style, Table};
use super::text::{command_line, label};
use super::units;

/// Number of actions of the path, and of other actions, that are listed.
const STEPS: usize = 20;
const OTHERS: usize = 10;
/// Number of actions of the path in the summary of a build.
const TOP: usize = 3;
const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// The same for terminals without Unicode.
const ASCII_BARS: [&str; 9] = [" ", ".", ".", "-", "-", "=", "=", "#", "#"];

/// Writes the parts of the time, the critical path, and the other long actions.
pub fn time(
    build: &Build,
    times: &TimeReport,
    cpus: u32,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style);
    page.line(Line::painted(Paint::Bold, &command_line(build)));
    let head = format!(
        "  {} on the clock, {} of CPU; {} CPUs",
        units::span(times.wall_ns),
        units::span(times.cpu_ns),
        cpus
    );
    page.line(Line::plain(&head));
    waits(&mut page, times);
    page.gap();
    parts(&mut page, build, times);
    page.gap();
    parallel(&mut page, times, cpus);
    page.gap();
    match &times.path {
        None => page.sentence(Line::plain("  "), &unknown(build), 4),
        Some(_) => path(&mut page, build, times),
    }
    others(&mut page, times);
    page.write(out)
}

/// Writes three lines for the summary of a build; nothing for a build without executed actions.
pub(super) fn summary(page: &mut Page<'_>, build: &Build, times: &TimeReport) {
    if times.actions.is_empty() {
        return;
    }
    let dot = page.style().dot();
    let sum = format!(
        "{} before the actions, {} in them, {} after",
        units::span(times.before.wall_ns),
        units::span(times.actions_ns),
        units::span(times.after_ns)
    );
    page.flow(label("Path"), &[Line::plain(&sum)], dot, 1);
    let (Some(steps), Some(longest_ns)) = (&times.path, times.longest_chain_ns) else {
        return;
    };
    let on_path: Vec<&ActionTime> = times.actions.iter().filter(|it| it.is_critical).collect();
    let ns = on_path.iter().map(|it| it.wall_ns).sum();
    let critical = format!(
        "{} in {} on the critical path",
        units::span(ns),
        units::counted(number(on_path.len()), "action", "actions")
    );
    let mut parts = vec![Line::plain(&critical)];
    let top = on_path.into_iter().take(TOP);
    parts.extend(top.map(|it| {
        let action = build.actions.get(it.action as usize);
        Line::plain(&format!("{} {}", name(action), units::span(it.wall_ns)))
    }));
    page.flow(label(""), &parts, dot, 1);
    let waiting = units::span(times.waiting_ns().unwrap_or(0));
    let mut last = vec![Line::plain(&format!("{waiting} waiting to start"))];
    if !steps.is_empty() {
        let bound = format!(
            "at least {} with any number of CPUs",
            units::span(longest_ns)
        );
        last.push(Line::plain(&bound));
    }
    page.flow(label(""), &last, dot, 1);
}

/// Threads can wait at the same time, so the sums can exceed the time on the clock.
fn waits(page: &mut Page<'_>, times: &TimeReport) {
    let known = |ns: Option<u64>| ns.map_or_else(|| "not known".to_owned(), units::span);
    let text = format!(
        "Sum over all threads of waiting for a CPU: {}; for disks: {}",
        known(times.run_delay_ns),
        known(times.block_io_ns)
    );
    page.sentence(Line::plain("  "), &text, 2);
}

fn parts(page: &mut Page<'_>, build: &Build, times: &TimeReport) {
    let mut row = |name: &str, ns: u64, text: &str| {
        let line = Line::plain("  ").then(name).pad_to(12);
        let line = line.then_painted(Paint::Bold, &format!("{:>8}", units::span(ns)));
        page.line(line.then("   ").then(text));
    };
    row("before", times.before.wall_ns, &before(&times.before));
    let n = units::counted(number(times.actions.len()), "action", "actions");
    let all = units::count(number(build.actions.len()));
    row(
        "actions",
        times.actions_ns,
        &format!("{n} executed, of {all}"),
    );
    row("after", times.after_ns, "");
}

/// `packages loaded for 910 ms, version control 80 ms`.
fn before(before: &Before) -> String {
    let parts = [
        ("packages loaded in", before.loading_ns),
        ("modules looked up or downloaded in", before.downloads_ns),
        ("version control in", before.version_control_ns),
    ];
    let parts = parts.iter().filter(|(_, ns)| *ns > 0);
    let parts = parts.map(|(name, ns)| format!("{name} {}", units::span(*ns)));
    parts.collect::<Vec<_>>().join(", ")
}

fn parallel(page: &mut Page<'_>, times: &TimeReport, cpus: u32) {
    let bars = if page.style().unicode {
        BARS
    } else {
        ASCII_BARS
    };
    let most = times.parallel.iter().copied().fold(1.0, f64::max);
    let bar = |n: &f64| bars.get(eighths(*n, most)).copied().unwrap_or_default();
    let line: String = times.parallel.iter().map(bar).collect();
    page.line(Line::plain("  Tools at once  ").then_painted(Paint::Dim, &line));
    let mut parts = Vec::new();
    parts.extend(
        times
            .average()
            .map(|it| format!("{it:.1} on average while actions ran")),
    );
    let one = times.tools_at_once.iter().take(2).copied();
    parts.push(format!("none or one for {}", units::span(one.sum())));
    let few = times.tools_at_once.iter().take(cpus as usize).copied();
    if cpus > 2 {
        parts.push(format!("fewer than {cpus} for {}", units::span(few.sum())));
    }
    let dot = page.style().dot();
    page.line(Line::plain("                 ").then(&parts.join(dot)));
}

/// Rounds up, so that every running tool is visible.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the ratio is between zero and one"
)]
fn eighths(n: f64, most: f64) -> usize {
    (n / most * 8.0).ceil().clamp(0.0, 8.0) as usize
}

fn unknown(build: &Build) -> String {
    let why = if build.keys.is_empty() {
        "the build has no cache keys, which contain the imports. `--detail cache-key` records them."
    } else {
        "the recorded cache keys contain no import."
    };
    format!("Critical path: not known, because {why}")
}

fn path(page: &mut Page<'_>, build: &Build, times: &TimeReport) {
    let steps = times.path.iter().flatten();
    let n = times.actions.iter().filter(|it| it.is_critical).count();
    let waiting = times.waiting_ns().unwrap_or(0);
    let head = format!(
        "  Critical path: {} in {}, {} waiting to start",
        units::span(times.actions_ns.saturating_sub(waiting)),
        units::counted(number(n), "executed action", "executed actions"),
        units::span(waiting)
    );
    page.line(Line::plain(&head));
    let longest = units::span(times.longest_chain_ns.unwrap_or(0));
    let bound = format!(
        "The longest chain of dependencies takes {longest}. \
         With these times of actions, more CPUs cannot make them end earlier."
    );
    page.sentence(Line::plain("  "), &bound, 3);
    if times.n_unknown > 0 {
        let text = format!(
            "{} may have waited for more than the graph shows: their imports are not known.",
            units::counted(u64::from(times.n_unknown), "action", "actions")
        );
        page.sentence(Line::plain("  "), &text, 3);
    }
    page.gap();
    let mut table = Table::of_texts();
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    table.row(vec![
        dim("  at"),
        dim("took"),
        dim("CPU"),
        dim("drag"),
        dim("step"),
    ]);
    let mut dearest: Vec<_> = steps.clone().collect();
    dearest.sort_by_key(|it| std::cmp::Reverse(it.wall_ns));
    let least = dearest.get(STEPS - 1).map_or(0, |it| it.wall_ns);
    let mut left_out = 0_u64;
    for step in steps {
        if step.wall_ns < least {
            left_out = left_out.saturating_add(step.wall_ns);
            continue;
        }
        let at = Line::plain(&format!("  {}", units::span(step.start_ns)));
        let took = Line::painted(Paint::Bold, &units::span(step.wall_ns));
        match step.kind {
            StepKind::Action { action } => {
                let time = times.actions.iter().find(|it| it.action == action);
                let cpu = time.map_or_else(String::new, |it| units::span(it.cpu_ns));
                let drag = time.and_then(|it| it.drag_ns);
                let drag = drag.map_or_else(String::new, units::span);
                let name = name(build.actions.get(action as usize));
                table.row(vec![
                    at,
                    took,
                    Line::plain(&cpu),
                    Line::plain(&drag),
                    Line::plain(&name),
                ]);
            }
            StepKind::Waiting { action } => {
                let name = name(build.actions.get(action as usize));
                let text = format!("waiting to start: {name}");
                table.row(vec![at, took, Line::default(), Line::default(), dim(&text)]);
            }
        }
    }
    table.put(page, &Line::default(), 10);
    if left_out > 0 {
        let text = format!("  shorter steps: {}", units::span(left_out));
        page.line(dim(&text));
    }
}

/// The longest actions that are not on the path.
fn others(page: &mut Page<'_>, times: &TimeReport) {
    let others = times.actions.iter().filter(|it| !it.is_critical);
    let others: Vec<&ActionTime> = others.take(OTHERS).collect();
    if others.is_empty() {
        return;
    }
    page.gap();
    let has_path = times.path.is_some();
    page.line(Line::plain(if has_path {
        "  Longest other actions"
    } else {
        "  Longest actions"
    }));
    let mut table = Table::of_texts();
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    table.row(vec![dim("  took"), dim("CPU"), dim("slack"), dim("action")]);
    for it in others {
        let slack = it.slack_ns.map_or_else(String::new, units::span);
        let package = it.package.as_ref().map(|it| it.to_str());
        let name = format!("{} {}", it.mode, package.unwrap_or_default());
        table.row(vec![
            Line::plain("  ").then_painted(Paint::Bold, &units::span(it.wall_ns)),
            Line::plain(&units::span(it.cpu_ns)),
            Line::plain(&slack),
            Line::plain(name.trim_end()),
        ]);
    }
    table.put(page, &Line::default(), 10);
}

/// `build net/http`.
fn name(action: Option<&Action>) -> String {
    let Some(action) = action else {
        return String::new();
    };
    match &action.package {
        Some(package) => format!("{} {}", action.mode, package.to_str()),
        None => action.mode.clone(),
    }
}

fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
