//! Advice over many builds as text.

use std::io::{self, Write};

use tracer_core::advise::{Advice, AdviceRow, CAUSES_MAX, Period, RepeatedWork};

use super::explain::place;
use super::style::{Line, Page, Paint, Style};
use super::units;
use crate::history::date;

/// Number of rows.
const ROWS: usize = 20;
/// Width of the column of CPU times.
const CPU: usize = 11;
/// Number of names of a row.
const NAMED: usize = 4;
const NS_PER_HOUR: f64 = 3.6e12;

/// Advice and the price of CPU time.
#[derive(Clone, Copy, Debug)]
pub struct AdviceView<'a> {
    pub advice: &'a Advice,
    /// Price of an hour of CPU time, in any currency.
    pub cpu_hour_price: Option<f64>,
}

impl AdviceView<'_> {
    fn cost(self, cpu_ns: u64) -> String {
        cost(cpu_ns, self.cpu_hour_price)
    }
}

/// `, cost 0.12`, if the price of an hour is known.
pub fn cost(cpu_ns: u64, cpu_hour_price: Option<f64>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a price has few digits")]
    let hours = cpu_ns as f64 / NS_PER_HOUR;
    match cpu_hour_price.map(|it| it * hours) {
        Some(cost) if cost < 0.01 => ", cost below 0.01".to_owned(),
        Some(cost) => format!(", cost {cost:.2}"),
        None => String::new(),
    }
}

/// Writes the rows, dearest first, and the repeated work.
pub fn advice(view: &AdviceView<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let advice = view.advice;
    let mut page = Page::new(style);
    let head = head(&advice.period);
    page.sentence(Line::default(), &head, 2);
    if advice.period.n_builds == 0 {
        if advice.period.n_all > 0 {
            let how = "No action with a cache key ran. Set `detail = \"cache-key\"`, or run with `--detail cache-key`.";
            page.sentence(Line::plain("  "), how, 4);
        }
        return page.write(out);
    }
    for row in advice.rows.iter().take(ROWS) {
        page.gap();
        put_row(&mut page, view, row);
    }
    if advice.rows.is_empty() {
        page.gap();
        page.line(Line::plain("  No cause has a measurable price."));
    }
    if advice.n_builds_cut > 0 {
        page.gap();
        let builds = units::counted(advice.n_builds_cut, "build has", "builds have");
        let cut = format!(
            "{builds} {CAUSES_MAX} causes or more, of which the history stores the dearest. The sums may be too low."
        );
        page.sentence(Line::plain("  "), &cut, 2);
    }
    if !advice.done_before.is_empty() {
        page.gap();
        let head = format!(
            "  Done before: of {} of CPU, {} had been spent on the same inputs{}",
            units::span(advice.period.cpu_ns),
            units::span(advice.done_before_cpu_ns),
            view.cost(advice.done_before_cpu_ns)
        );
        page.line(Line::plain(&head));
        for work in advice.done_before.iter().take(ROWS) {
            put_repeated(&mut page, work);
        }
    }
    page.write(out)
}

/// `412 builds since 2026-11-23 14:05; 37 ran actions with cache keys, with 3 h of CPU`.
fn head(period: &Period) -> String {
    let builds = units::counted(period.n_all, "build", "builds");
    if period.n_all == 0 {
        return "no build matches".to_owned();
    }
    format!(
        "{builds} since {}; {} ran actions with cache keys, which took {} of CPU",
        date(period.started_ns),
        units::count(period.n_builds),
        units::span(period.cpu_ns)
    )
}

fn put_row(page: &mut Page<'_>, view: &AdviceView<'_>, row: &AdviceRow) {
    let cpu = column(row.cpu_ns);
    let subject = some(&row.subject);
    let title = match subject.as_str() {
        "" => row.title.clone(),
        subject => format!("{}: {subject}", row.title),
    };
    page.sentence(cpu, &title, 6);
    let mut facts = vec![
        row.project
            .clone()
            .unwrap_or_else(|| "project not known".to_owned()),
        units::counted(row.n_builds, "build", "builds"),
    ];
    if row.n_hosts > 1 {
        facts.push(units::counted(row.n_hosts, "machine", "machines"));
    }
    facts.push(units::counted(row.n_actions, "action", "actions"));
    if let Some(last) = row.builds.first() {
        facts.push(format!("last {last}"));
    }
    let facts = format!("{}{}", facts.join(", "), view.cost(row.cpu_ns));
    let indent = Line::default().pad_to(CPU);
    page.sentence(indent.then_painted(Paint::Dim, ""), &facts, 2);
    if let Some(advice) = &row.advice {
        let arrow = page.style().arrow();
        let head = Line::default().pad_to(CPU).then(arrow).then(" ");
        page.sentence(head, advice, 2);
    }
}

fn put_repeated(page: &mut Page<'_>, work: &RepeatedWork) {
    let project = work.project.as_deref().unwrap_or("project not known");
    let n = units::counted(work.n, "action", "actions");
    let text = format!(
        "{}; {project}, {n}, last in {}",
        place(work.place),
        work.build
    );
    page.sentence(column(work.cpu_ns), &text, 6);
}

fn column(cpu_ns: u64) -> Line {
    let cpu = Line::painted(Paint::Bold, &units::span(cpu_ns));
    let indent = CPU.saturating_sub(cpu.width() + 2);
    Line::default().pad_to(indent).then_line(cpu).pad_to(CPU)
}

fn some(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().checked_sub(NAMED) {
        None | Some(0) => first.join(", "),
        Some(more) => format!("{} and {more} more", first.join(", ")),
    }
}
