//! Two builds side by side, as text: first what limits the comparison, then the largest differences.

mod caveat;
mod program;

use std::io::{self, Write};

use tracer_core::compare::{
    Compared, Comparison, ModuleChange, PackageChange, PackageState, TextChange, TimeChange,
    TimePart,
};

use super::style::{Line, Page, Paint, Style, Table};
use super::text::{command_line, work};
use super::units;
use super::what_if::change;
use crate::history::date;

const NOT_KNOWN: &str = "not known";

/// Writes the comparison, at most `top` rows of each table.
pub fn comparison(
    sides: [Compared<'_>; 2],
    it: &Comparison,
    top: usize,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style);
    heads(&mut page, sides);
    page.gap();
    if !it.caveats.is_empty() {
        for caveat in &it.caveats {
            let head = Line::plain("  ").then_painted(Paint::Warn, page.style().bullet());
            page.sentence(head.then(" "), &caveat::sentence(caveat), 2);
        }
        page.gap();
    }
    totals(&mut page, it);
    let tools: Vec<Row> = it.tools.iter().map(|it| row(work(it.name), it)).collect();
    times(&mut page, "CPU by tool", tools, top);
    let phases = it.compiler_phases.iter();
    let phases: Vec<Row> = phases.map(|it| row(&it.name, it)).collect();
    times(&mut page, "Phases of all compilers", phases, top);
    causes(&mut page, it, top);
    packages(&mut page, it, top);
    modules(&mut page, &it.modules, top);
    for program in &it.programs {
        program::program(&mut page, program, top);
    }
    texts(&mut page, "Settings", &it.settings);
    texts(&mut page, "Source", &it.source);
    texts(&mut page, "Machine", &it.machine);
    same(&mut page, it);
    page.write(out)
}

fn heads(page: &mut Page<'_>, sides: [Compared<'_>; 2]) {
    let mut table = Table::of_texts();
    for (name, side) in ["before", "after"].into_iter().zip(sides) {
        let build = side.build;
        table.row(vec![
            Line::painted(Paint::Dim, name),
            Line::plain(build.entry.id.as_str()),
            Line::plain(&date(build.entry.started_ns)),
            Line::painted(Paint::Bold, &command_line(build.build)),
        ]);
    }
    table.put(page, &Line::default(), 6);
}

/// A row of a table of times.
struct Row {
    name: String,
    before_ns: Option<u64>,
    after_ns: Option<u64>,
}

fn row<K>(name: &str, it: &TimeChange<K>) -> Row {
    Row {
        name: name.to_owned(),
        before_ns: it.before_ns,
        after_ns: it.after_ns,
    }
}

/// The names of the times. Parts of another time are indented.
fn part(part: TimePart) -> &'static str {
    match part {
        TimePart::Wall => "on the clock",
        TimePart::Cpu => "CPU",
        TimePart::GoCommandCpu => "  of the go command",
        TimePart::BeforeActions => "before the actions",
        TimePart::Loading => "  loading packages",
        TimePart::Downloads => "  looking up and downloading modules",
        TimePart::VersionControl => "  version control",
        TimePart::Actions => "actions",
        TimePart::WaitingToStart => "  waiting to start",
        TimePart::LongestChain => "  longest chain of dependencies",
        TimePart::AfterActions => "after the actions",
        TimePart::WaitingForCpu => "waiting for a CPU",
        TimePart::WaitingForDisks => "waiting for disks",
    }
}

fn totals(page: &mut Page<'_>, it: &Comparison) {
    let mut table = Table::of_texts();
    table.row(head("  Time"));
    let seen = it
        .time
        .iter()
        .filter(|it| it.before_ns.max(it.after_ns) > Some(0));
    for it in seen {
        table.row(cells(
            &Line::plain("  ").then(part(it.name)),
            it.before_ns,
            it.after_ns,
            units::span,
        ));
    }
    table.row(cells(
        &Line::plain("  largest process"),
        it.memory.before_bytes,
        it.memory.after_bytes,
        units::memory,
    ));
    for it in &it.cache {
        let name = format!("  packages {}", it.name);
        if it.before.max(it.after) > Some(0) {
            table.row(cells(
                &Line::plain(&name),
                it.before,
                it.after,
                units::count,
            ));
        }
    }
    table.put(page, &Line::default(), 20);
}

fn head(name: &str) -> Vec<Line> {
    let names = [name, "before", "after", "difference", ""];
    names.map(|it| Line::painted(Paint::Dim, it)).to_vec()
}

/// Name, value before, value after, difference, change in percent.
fn cells(
    name: &Line,
    before: Option<u64>,
    after: Option<u64>,
    text: fn(u64) -> String,
) -> Vec<Line> {
    let known = |it: Option<u64>| it.map_or_else(|| NOT_KNOWN.to_owned(), text);
    let (difference, percent) = match (before, after) {
        (Some(before), Some(after)) if before == after => (String::new(), String::new()),
        (Some(before), Some(after)) => {
            let percent = if before > 0 {
                change(before, after)
            } else {
                String::new()
            };
            (signed(before, after, text), percent)
        }
        _ => (String::new(), String::new()),
    };
    vec![
        name.clone(),
        Line::plain(&known(before)),
        Line::plain(&known(after)),
        Line::painted(paint(before, after), &difference),
        Line::painted(paint(before, after), &percent),
    ]
}

/// `+1.2 s`.
fn signed(before: u64, after: u64, text: fn(u64) -> String) -> String {
    let sign = if after < before { '-' } else { '+' };
    format!("{sign}{}", text(before.abs_diff(after)))
}

fn paint(before: Option<u64>, after: Option<u64>) -> Paint {
    match before.unwrap_or(0).cmp(&after.unwrap_or(0)) {
        std::cmp::Ordering::Less => Paint::Warn,
        std::cmp::Ordering::Equal => Paint::Dim,
        std::cmp::Ordering::Greater => Paint::Good,
    }
}

/// A title, and the note that a table has more rows.
fn title(page: &mut Page<'_>, title: &str, rows: usize, top: usize) {
    page.gap();
    let line = Line::plain("  ").then_painted(Paint::Bold, title);
    page.line(if rows > top {
        line.then(&format!(
            ": {} differ, the largest {top} differences",
            units::count(rows as u64)
        ))
    } else {
        line
    });
}

/// A table of times. An absent time is that of a part that the build does not have.
fn times(page: &mut Page<'_>, name: &str, rows: Vec<Row>, top: usize) {
    if rows.is_empty() || top == 0 {
        return;
    }
    title(page, name, rows.len(), top);
    let mut table = Table::of_paths();
    for it in rows.into_iter().take(top) {
        let time = |it: Option<u64>| it.map_or_else(|| "-".to_owned(), units::span);
        let (before, after) = (it.before_ns, it.after_ns);
        let difference = signed(before.unwrap_or(0), after.unwrap_or(0), units::span);
        table.row(vec![
            Line::plain(&it.name),
            Line::plain(&time(before)),
            Line::plain(&time(after)),
            Line::painted(paint(before, after), &difference),
        ]);
    }
    table.put(page, &Line::plain("    "), 20);
}

fn causes(page: &mut Page<'_>, it: &Comparison, top: usize) {
    match &it.causes {
        None => {
            page.gap();
            let text = "CPU by cause: not known, because one of the builds has no cache keys. `--detail cache-key` records them.";
            page.sentence(Line::plain("  "), text, 3);
        }
        Some(causes) => {
            let rows = causes.iter();
            let rows = rows.map(|it| row(&it.name.name().replace('_', " "), it));
            times(page, "CPU by cause", rows.collect(), top);
        }
    }
}

fn packages(page: &mut Page<'_>, it: &Comparison, top: usize) {
    let packages = &it.packages;
    let differ = packages
        .iter()
        .filter(|it| it.before_cpu_ns != it.after_cpu_ns);
    let differ: Vec<&PackageChange> = differ.collect();
    if differ.is_empty() || top == 0 {
        return;
    }
    title(page, "Packages", differ.len(), top);
    let shared = &it.shared;
    if shared.packages > 0 {
        let text = format!(
            "{} that both compiled: {} {} {} of CPU ({})",
            units::counted(shared.packages, "package", "packages"),
            units::span(shared.before_cpu_ns),
            page.style().arrow(),
            units::span(shared.after_cpu_ns),
            change(shared.before_cpu_ns, shared.after_cpu_ns)
        );
        page.sentence(Line::plain("    "), &text, 2);
    }
    let mut table = Table::of_paths();
    for it in differ.into_iter().take(top) {
        let (before, after) = (it.before_cpu_ns, it.after_cpu_ns);
        let difference = signed(before.unwrap_or(0), after.unwrap_or(0), units::span);
        table.row(vec![
            Line::plain(&it.package.to_str()),
            Line::plain(&state(it.before, before)),
            Line::plain(&state(it.after, after)),
            Line::painted(paint(before, after), &difference),
        ]);
    }
    table.put(page, &Line::plain("    "), 20);
}

/// The CPU time of a compiled package, else its outcome.
fn state(state: PackageState, cpu_ns: Option<u64>) -> String {
    let time = cpu_ns.map(units::span).unwrap_or_default();
    match state {
        PackageState::Compiled => time,
        PackageState::Failed => format!("failed, {time}"),
        PackageState::Cached => "cached".to_owned(),
        PackageState::Absent => "-".to_owned(),
        PackageState::NotKnown => NOT_KNOWN.to_owned(),
    }
}

fn modules(page: &mut Page<'_>, modules: &[ModuleChange], top: usize) {
    if modules.is_empty() || top == 0 {
        return;
    }
    title(page, "Compilation by module", modules.len(), top);
    let arrow = page.style().arrow();
    let mut table = Table::of_paths();
    for it in modules.iter().take(top) {
        let path = it.path.as_deref().unwrap_or("(module not known)");
        let time = |it: Option<u64>| it.map_or_else(|| "-".to_owned(), units::span);
        let (before, after) = (it.before_cpu_ns, it.after_cpu_ns);
        let difference = signed(before.unwrap_or(0), after.unwrap_or(0), units::span);
        table.row(vec![
            Line::plain(path),
            Line::plain(&time(before)),
            Line::plain(&time(after)),
            Line::painted(paint(before, after), &difference),
            Line::plain(&versions(
                it.before_version.as_ref(),
                it.after_version.as_ref(),
                arrow,
            )),
        ]);
    }
    table.put(page, &Line::plain("    "), 20);
}

/// `v1.2.0 → v1.3.0`; one version if both are equal or one is absent.
fn versions(before: Option<&String>, after: Option<&String>, arrow: &str) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before != after => format!("{before} {arrow} {after}"),
        (Some(only), _) | (None, Some(only)) => only.clone(),
        (None, None) => String::new(),
    }
}

fn texts(page: &mut Page<'_>, name: &str, texts: &[TextChange]) {
    if texts.is_empty() {
        return;
    }
    page.gap();
    page.line(Line::plain("  ").then_painted(Paint::Bold, name));
    let style = page.style();
    let text = |it: &Option<String>| match it {
        None => Line::painted(Paint::Dim, "(absent)"),
        Some(text) if text.is_empty() => Line::plain("\"\""),
        Some(text) => Line::plain(text),
    };
    let widest = texts.iter().map(|it| Line::plain(&it.name).width()).max();
    let column = widest.unwrap_or(0) + 6;
    let arrow = style.arrow();
    for it in texts {
        let (before, after) = (text(&it.before), text(&it.after));
        let name = Line::plain("    ").then(&it.name).pad_to(column);
        let width = column + before.width() + after.width() + arrow.len() + 2;
        if width <= style.columns() {
            let line = name.then_line(before).then(&format!(" {arrow} "));
            page.line(line.then_line(after));
        } else {
            // The page cuts a text that is longer than a line.
            page.line(name.then_line(before));
            let next = Line::plain(&format!("{arrow} "));
            let indent = column.saturating_sub(next.width());
            page.line(
                Line::default()
                    .pad_to(indent)
                    .then_line(next)
                    .then_line(after),
            );
        }
    }
}

/// The groups of texts without a difference.
fn same(page: &mut Page<'_>, it: &Comparison) {
    let groups = [
        ("settings", it.settings.is_empty()),
        ("source", it.source.is_empty()),
        ("machine", it.machine.is_empty()),
    ];
    let same: Vec<&str> = groups.iter().filter(|it| it.1).map(|it| it.0).collect();
    if !same.is_empty() {
        page.gap();
        let text = format!("No difference was seen in: {}", same.join(", "));
        page.line(Line::plain("  ").then_painted(Paint::Dim, &text));
    }
}
