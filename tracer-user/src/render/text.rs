//! The summary of `gotrace run`: most important first, at most one screen, every number with its unit.
//!
//! A single build is shown in full, a few builds as short blocks, many builds as lines with a total. Notes with counts always report
//! lost and missing data. The summary does not repeat the messages of the `go` command.

mod build;
mod hint;
mod many;
mod module;
mod note;
mod output;
mod time;
mod word;

use std::io::{self, Write};

use tracer_core::event::Status;
use tracer_core::finished::FinishedTrace;
use tracer_core::model::Trace;
use tracer_core::report::Report;

use super::explain::top_causes;
use super::style::{Line, Page, Paint, Style};
use super::units;
use crate::history::Explained;

/// Largest number of builds shown as blocks. More builds are shown as lines.
const SHORT_BLOCKS: usize = 4;

pub(super) use word::{build as command_line, label, work};

/// The cost of tracing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// CPU time of the tracing process, including the analysis of outputs. The kernel programs run inside the build and are excluded.
    pub gotrace_cpu_ns: u64,
    /// Records read from the kernel.
    pub events: u64,
    /// Time from the start of tracing until the probes were attached and the command could start.
    pub attach_ns: u64,
}

/// Further facts about the builds of a trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The causes of each build, if a history explained them.
    pub causes: &'a [Explained],
    pub cost: Option<&'a Cost>,
}

/// Writes the summary of a trace.
pub fn text(
    finished: &FinishedTrace,
    facts: Facts<'_>,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (trace, report) = (finished.trace(), finished.report());
    let mut page = Page::new(style);
    let only = finished.builds().next().filter(|_| trace.builds.len() == 1);
    match (only, trace.builds.as_slice(), report.builds.as_slice()) {
        (Some(only), _, _) => {
            let is_command = only.build.command.argv == trace.command;
            if !is_command {
                command(&mut page, trace);
                page.gap();
            }
            build::whole(&mut page, only);
        }
        (None, builds, numbers) => {
            command(&mut page, trace);
            if builds.len() <= SHORT_BLOCKS {
                many::blocks(&mut page, builds, numbers);
            } else {
                many::lines(&mut page, builds, numbers);
            }
            if !builds.is_empty() {
                many::total(&mut page, trace, report);
            }
        }
    }
    causes(&mut page, facts.causes);
    note::notes(&mut page, trace);
    tracing(&mut page, trace, report, facts.cost);
    page.write(out)
}

/// The dearest causes of all builds.
fn causes(page: &mut Page<'_>, causes: &[Explained]) {
    let lines = top_causes(causes.iter().map(|it| &it.explanation));
    for (n, line) in (0..).zip(lines) {
        page.line(label(if n == 0 { "Rebuilt" } else { "" }).then_line(line));
    }
}

/// Writes the traced command, if it is not the single build itself.
fn command(page: &mut Page<'_>, trace: &Trace) {
    let ns = trace.end.since(trace.start);
    verdict(
        page,
        Line::plain(&word::command(&trace.command)),
        trace.status,
        ns,
    );
    if trace.builds.is_empty() {
        page.line(Line::plain("  no go command and no Go tool ran under it"));
    }
}

/// Writes `✔ what` on the left, and status and duration on the right.
fn verdict(page: &mut Page<'_>, what: Line, status: Option<Status>, ns: u64) {
    let style = page.style();
    let mark = match status {
        Some(status) if status.is_success() => Line::painted(Paint::Good, style.check()),
        Some(_) => Line::painted(Paint::Bad, style.cross()),
        None => Line::painted(Paint::Warn, "?"),
    };
    let ended = match status {
        Some(Status::Code(code)) => format!("exit {code} in "),
        Some(Status::Signal(signal)) => format!("{} after ", word::signal(signal)),
        None => "end not seen, at least ".to_owned(),
    };
    let right = Line::plain(&ended).then_painted(Paint::Bold, &units::span(ns));
    page.spread(mark.then(" ").then_line(what), right);
}

/// Writes the received events, the lost ones and the cost.
fn tracing(page: &mut Page<'_>, trace: &Trace, report: &Report, cost: Option<&Cost>) {
    let events = &trace.events;
    let kinds = [
        events.forks,
        events.execs,
        events.exits,
        events.reaped,
        events.renames,
        events.calls,
    ];
    let seen = kinds.into_iter().fold(0, u64::saturating_add);
    let gone = events.lost.saturating_add(events.unreadable);
    let mut parts = vec![
        Line::plain(&units::counted(seen, "event", "events")).then_line(match gone {
            0 => Line::plain(", none lost"),
            n => Line::painted(Paint::Bad, &format!(", {} lost", units::count(n))),
        }),
    ];
    if let Some(cost) = cost {
        let share = units::share(cost.gotrace_cpu_ns, report.cpu_ns);
        parts.push(Line::plain(&format!(
            "{} CPU ({share} of the build's)",
            units::span(cost.gotrace_cpu_ns)
        )));
        parts.push(Line::plain(&format!(
            "probes on in {}",
            units::span(cost.attach_ns)
        )));
    }
    page.flow(word::label("Tracing"), &parts, page.style().dot(), 3);
}

#[cfg(test)]
mod tests;
