//! One build as text: the summary of `gotrace run`, then the further facts of the history.

use std::io::{self, Write};

use tracer_core::explain::Explanation;
use tracer_core::history::{BuildContext, Entry, Target};
use tracer_core::model::State;

use super::read::{BuildView, Previous};
use super::time::{ago, date};
use crate::render::style::{Line, Page, Paint, Style};
use crate::render::{self, Facts, units};

/// Width of the labels, as in the summary.
const LABEL: usize = 13;
/// Largest number of outputs and of nested builds that are named.
const NAMED: usize = 6;

/// Writes the build and its dearest causes. `now_ns` is in nanoseconds since 1970.
pub fn show(
    shown: &BuildView,
    explanation: &Explanation,
    now_ns: i64,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    if let Some(finished) = &shown.finished {
        render::text(finished, Facts::default(), style, out)?;
    }
    let mut page = Page::new(style);
    let entry = &shown.entry;
    match &shown.finished {
        Some(_) => page.line(Line::default()),
        None => unfinished(&mut page, entry),
    }
    page.line(label("Id").then(entry.id.as_str()));
    let started = [date(entry.started_ns), ago(entry.started_ns, now_ns)];
    parts(&mut page, "Started", &started);
    let context = &entry.context;
    parts(&mut page, "Source", &source(context));
    parts(&mut page, "CI", &ci(context));
    parts(&mut page, "Machine", &machine(context));
    if let Some(parent) = &entry.parent {
        page.line(label("Part of").then(parent.as_str()));
    }
    nested(&mut page, shown);
    for (n, line) in (0..).zip(render::top_causes([explanation])) {
        page.line(label(if n == 0 { "Rebuilt" } else { "" }).then_line(line));
    }
    let targets = entry.targets.iter().zip(&shown.previous);
    let compared = targets.filter_map(|(target, previous)| Some((target, previous.as_ref()?)));
    for (n, (target, previous)) in compared.take(NAMED).enumerate() {
        let head = label(if n == 0 { "Before" } else { "" });
        page.line(head.then_line(before(target, previous, now_ns)));
    }
    page.write(out)
}

/// Writes the known facts of a build without a summary.
fn unfinished(page: &mut Page<'_>, entry: &Entry) {
    let state = match entry.state {
        State::Running => "running, or gotrace was killed and has not been started since",
        State::CutOff => "gotrace ended while this build ran: its result is not known",
        State::Succeeded | State::Failed | State::Unknown => "its details have been deleted",
    };
    page.line(Line::painted(Paint::Bold, &entry.command_line));
    let head = Line::plain("  ")
        .then_painted(Paint::Warn, page.style().bullet())
        .then(" ");
    page.sentence(head, state, 2);
    page.gap();
    let known = [&entry.project, &entry.dir].into_iter().flatten();
    parts(page, "Project", &known.cloned().collect::<Vec<_>>());
    let version = entry.go_version.iter();
    parts(page, "Toolchain", &version.cloned().collect::<Vec<_>>());
}

fn source(context: &BuildContext) -> Vec<String> {
    let named = [
        ("", &context.repository),
        ("branch ", &context.branch),
        ("into ", &context.base_branch),
        ("change ", &context.change),
        ("", &context.revision),
    ];
    present(&named)
}

fn ci(context: &BuildContext) -> Vec<String> {
    let named = [
        ("", &context.ci_system),
        ("pipeline ", &context.ci_pipeline),
        ("job ", &context.ci_job),
        ("run ", &context.ci_run),
        ("attempt ", &context.ci_attempt),
        ("on ", &context.ci_runner),
        ("", &context.ci_url),
    ];
    present(&named)
}

fn machine(context: &BuildContext) -> Vec<String> {
    let named = [
        ("", &context.host),
        ("container ", &context.container),
        ("pod ", &context.pod_uid),
    ];
    present(&named)
}

fn present(named: &[(&str, &Option<String>)]) -> Vec<String> {
    let present = named
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    present
        .map(|(name, value)| format!("{name}{value}"))
        .collect()
}

fn nested(page: &mut Page<'_>, shown: &BuildView) {
    let n = u64::try_from(shown.nested.len()).unwrap_or(u64::MAX);
    if n == 0 {
        return;
    }
    let mut said = vec![units::counted(n, "build", "builds")];
    said.extend(shown.nested.iter().take(NAMED).map(ToString::to_string));
    parts(page, "Nested", &said);
}

/// `hello 1.61 MB in 019ab12f-3c44 2 h ago, now +12.3 kB (0.8 %)`.
fn before(target: &Target, previous: &Previous, now_ns: i64) -> Line {
    let line = Line::painted(Paint::Bold, target.name()).then(&format!(
        " {} {}",
        units::size(previous.size),
        ago(previous.started_ns, now_ns)
    ));
    let line = match target.size {
        Some(now) if now == previous.size => line.then(", same size now"),
        Some(now) => {
            let (paint, sign) = if now > previous.size {
                (Paint::Warn, '+')
            } else {
                (Paint::Good, '-')
            };
            let change = now.abs_diff(previous.size);
            let share = units::share(change, previous.size);
            let change = format!("{sign}{} ({share})", units::size(change));
            line.then(", now ").then_painted(paint, &change)
        }
        None => line,
    };
    line.then_painted(Paint::Dim, &format!("  {}", previous.build))
}

fn parts(page: &mut Page<'_>, name: &str, said: &[String]) {
    if !said.is_empty() {
        let said: Vec<Line> = said.iter().map(|it| Line::plain(it)).collect();
        page.flow(label(name), &said, page.style().dot(), 4);
    }
}

fn label(name: &str) -> Line {
    Line::painted(Paint::Dim, &format!("  {name}")).pad_to(LABEL)
}
