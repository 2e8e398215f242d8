//! The cost of a build's tests as text.

use std::io::{self, Write};

use tracer_core::model::{Build, Outcome};
use tracer_core::schedule::{Cost, TestChange, TestLedger};

use super::style::{Line, Page, Paint, Style, Table};
use super::text::command_line;
use super::units;
use super::what_if::{change, error};

/// Number of tests that are listed.
const TESTS: usize = 30;

pub fn test_ledger(
    build: &Build,
    ledger: &TestLedger,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style);
    page.line(Line::painted(Paint::Bold, &command_line(build)));
    if ledger.tests.is_empty() {
        page.line(Line::plain("  no test was seen in this build"));
        return page.write(out);
    }
    let of = |outcome| {
        let tests = ledger.tests.iter();
        tests.filter(|it| it.outcome == Some(outcome)).count()
    };
    let number = |it: usize| units::count(u64::try_from(it).unwrap_or(u64::MAX));
    let head = format!(
        "  {} of packages: {} ran, {} failed, {} cached",
        units::counted(ledger.tests.len() as u64, "test", "tests"),
        number(of(Outcome::Executed)),
        number(of(Outcome::Failed)),
        number(of(Outcome::Cached)),
    );
    page.line(Line::plain(&head));
    page.gap();
    tests(&mut page, ledger);
    page.gap();
    shared(&mut page, ledger);
    page.gap();
    predictions(&mut page, build, ledger);
    page.write(out)
}

fn tests(page: &mut Page<'_>, ledger: &TestLedger) {
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    let mut table = Table::of_texts();
    table.row(vec![
        dim("CPU"),
        dim("vet"),
        dim("compile"),
        dim("link"),
        dim("run"),
        dim("run took"),
        dim("package"),
    ]);
    let cpu = |it: Cost| match it.n {
        0 => Line::default(),
        _ => Line::plain(&units::span(it.cpu_ns)),
    };
    for it in ledger.tests.iter().take(TESTS) {
        let took = match it.outcome {
            Some(Outcome::Cached) => dim("cached"),
            Some(Outcome::Failed) => Line::painted(Paint::Bad, &units::span(it.run.wall_ns)),
            Some(Outcome::Executed) => Line::plain(&units::span(it.run.wall_ns)),
            Some(Outcome::Unknown) | None => dim("?"),
        };
        table.row(vec![
            Line::painted(Paint::Bold, &units::span(it.cpu_ns())),
            cpu(it.vet),
            cpu(it.compile),
            cpu(it.link),
            cpu(it.run),
            took,
            Line::plain(&it.package),
        ]);
    }
    let sums = [
        ledger.sum(|it| it.vet),
        ledger.sum(|it| it.compile),
        ledger.sum(|it| it.link),
        ledger.sum(|it| it.run),
    ];
    let all = sums.iter().map(|it| it.cpu_ns).fold(0, u64::saturating_add);
    let mut last = vec![Line::painted(Paint::Bold, &units::span(all))];
    last.extend(sums.map(cpu));
    last.push(Line::default());
    let more = ledger.tests.len().saturating_sub(TESTS);
    last.push(dim(&match more {
        0 => "all tests".to_owned(),
        more => format!("all tests, {more} of them not listed"),
    }));
    table.row(last);
    table.put(page, &Line::plain("  "), 8);
}

fn shared(page: &mut Page<'_>, ledger: &TestLedger) {
    let mut row = |cost: Cost, one: &str, many: &str| {
        if cost.n > 0 {
            let cpu = units::span(cost.cpu_ns);
            let what = units::counted(u64::from(cost.n), one, many);
            page.line(Line::plain(&format!("  {what}: {cpu} of CPU")));
        }
    };
    row(
        ledger.shared_compile,
        "package compiled once for all tests",
        "packages compiled once for all tests",
    );
    row(
        ledger.compiled_again,
        "package compiled again, because it imports a tested package",
        "packages compiled again, because they import a tested package",
    );
    row(
        ledger.sum(|it| it.link),
        "program linked, which go never caches",
        "programs linked, which go never caches",
    );
    row(
        ledger.shared_vet,
        "other package vetted",
        "other packages vetted",
    );
}

fn predictions(page: &mut Page<'_>, build: &Build, ledger: &TestLedger) {
    if let Some(why) = &ledger.no_prediction {
        let text = format!("Predictions: none, because {why}");
        page.sentence(Line::plain("  "), &text, 3);
        return;
    }
    let Some(first) = ledger.predictions.first() else {
        return;
    };
    let measured = first.prediction.measured_ns;
    let head = format!("  Predictions, for {} as measured:", units::span(measured));
    page.line(Line::plain(&head));
    let mut table = Table::of_texts();
    for it in &ledger.predictions {
        let what = match it.change {
            TestChange::NoVet => "-vet=off".to_owned(),
            TestChange::OneProgram => "one test program instead of several".to_owned(),
            TestChange::Workers(n) => format!("-p {n}"),
        };
        table.row(vec![
            Line::plain(&what),
            Line::painted(Paint::Bold, &units::span(it.prediction.predicted_ns)),
            Line::plain(&change(measured, it.prediction.predicted_ns)),
        ]);
    }
    table.put(page, &Line::plain("    "), 10);
    error(page, build, &first.prediction);
}
