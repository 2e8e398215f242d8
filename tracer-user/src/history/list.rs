//! A list of builds as text: one line for each build, most important first, cut at the edge.

use std::collections::BTreeMap;
use std::io::{self, Write};

use tracer_core::history::Entry;
use tracer_core::model::{Installed, State};

use super::time::ago;
use crate::render::style::{Line, Page, Paint, Style};
use crate::render::units;

/// Length of the part of an ID that encodes the start in milliseconds. Few builds share it.
const SHORT: usize = 13;
const BETWEEN: usize = 2;
const COLUMNS: [&str; 8] = [
    "Id", "Started", "Took", "State", "Failure", "Go", "Host", "Build",
];
/// Index of the failure class in `COLUMNS`.
const FAILURE: usize = 4;
/// Index of the machine in `COLUMNS`.
const HOST: usize = 6;

/// Writes the list. `now_ns`: nanoseconds since 1970.
pub fn list(entries: &[Entry], now_ns: i64, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(style);
    let ids = short_ids(entries);
    let mut rows: Vec<[Line; COLUMNS.len()]> =
        vec![COLUMNS.map(|it| Line::painted(Paint::Dim, it))];
    rows.extend(entries.iter().zip(&ids).map(|(entry, id)| {
        [
            Line::plain(id),
            Line::plain(&ago(entry.started_ns, now_ns)),
            Line::plain(&entry.wall_ns().map_or_else(String::new, units::span)),
            state(entry),
            failure(entry),
            Line::plain(short_version(entry)),
            Line::plain(entry.context.host.as_deref().unwrap_or("-")),
            build(entry, style),
        ]
    }));
    if entries.iter().all(|it| it.failure.is_none()) {
        rows[0][FAILURE] = Line::default();
    }
    if !has_several_hosts(entries) {
        for row in &mut rows {
            row[HOST] = Line::default();
        }
    }
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = cell.width().max(*widest);
        }
    }
    for row in rows {
        let mut line = Line::default();
        let mut column = 0;
        for (cell, width) in row.into_iter().zip(widths) {
            // An empty column takes no space.
            if width > 0 {
                line = line.pad_to(column).then_line(cell);
                column += width + BETWEEN;
            }
        }
        page.line(line);
    }
    page.write(out)
}

/// IDs that are long enough to be unique in the list.
pub(super) fn short_ids(entries: &[Entry]) -> Vec<&str> {
    let mut n_of: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in entries {
        *n_of.entry(entry.id.short(SHORT)).or_default() += 1;
    }
    let ids = entries.iter().map(|entry| {
        let short = entry.id.short(SHORT);
        // IDs of one millisecond differ in their random part.
        let is_unique = n_of.get(short).is_none_or(|n| *n == 1);
        if is_unique { short } else { entry.id.as_str() }
    });
    ids.collect()
}

/// True for the history of a fleet. The builds of one machine need no column for it.
fn has_several_hosts(entries: &[Entry]) -> bool {
    let mut hosts = entries.iter().map(|it| &it.context.host);
    let first = hosts.next();
    hosts.any(|it| Some(it) != first)
}

fn state(entry: &Entry) -> Line {
    let paint = match entry.state {
        State::Succeeded => Paint::Good,
        State::Failed => Paint::Bad,
        State::Running | State::CutOff | State::Unknown => Paint::Warn,
    };
    Line::painted(paint, entry.state.name())
}

fn failure(entry: &Entry) -> Line {
    entry
        .failure
        .map_or_else(Line::default, |it| Line::painted(Paint::Bad, it.name()))
}

/// `1.27.3` for `go1.27.3`.
fn short_version(entry: &Entry) -> &str {
    let version = entry.go_version.as_deref().unwrap_or("-");
    version.strip_prefix("go").unwrap_or(version)
}

/// The part of the command line after the command.
fn arguments(entry: &Entry) -> &str {
    let line = &entry.command_line;
    let words = line.split_once(' ').map_or(line.as_str(), |(_, it)| it);
    words.strip_prefix(&entry.command).unwrap_or(words)
}

/// `build -> hello 1.61 MB  example.com/hello main`. The path comes after the targets, because a long one is cut at the edge.
fn build(entry: &Entry, style: &Style) -> Line {
    let arrow = if style.unicode { " → " } else { " -> " };
    let mut line = Line::painted(Paint::Bold, &entry.command);
    let kept = entry
        .targets
        .iter()
        .filter(|it| it.how != Installed::Temporary);
    for (n, target) in kept.enumerate() {
        let before = if n == 0 { arrow } else { style.dot() };
        line = line.then_painted(Paint::Dim, before).then(target.name());
        if let Some(size) = target.size {
            line = line.then_painted(Paint::Dim, &format!(" {}", units::size(size)));
        }
    }
    let is_alone = line.width() == Line::plain(&entry.command).width();
    let between = if is_alone { " " } else { "  " };
    line = match &entry.project {
        Some(project) => line.then(between).then(project),
        None => line.then(arguments(entry)),
    };
    if let Some(branch) = &entry.context.branch {
        line = line.then_painted(Paint::Dim, &format!(" {branch}"));
    }
    if entry.anomalies > 0 {
        let gaps = units::counted(entry.anomalies, "gap", "gaps");
        line = line.then_painted(Paint::Warn, &format!(" {} {gaps}", style.bullet()));
    }
    line
}
