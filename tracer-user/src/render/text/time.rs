//! Time by kind of work, by package and by link.

use std::borrow::Cow;

use tracer_core::byte_string::ByteString;
use tracer_core::model::Build;
use tracer_core::report::{self, BuildReport, PackageTime, PhaseTime};

use super::word;
use crate::render::style::{Line, Page, Paint, Table};
use crate::render::units;

const KINDS: usize = 7;
const SLOWEST: usize = 5;
const LINKS: usize = 2;
/// Smallest page width for the phases of each package.
const ROOM_FOR_PHASES: usize = 90;
const ROOM_FOR_THREE: usize = 125;

/// Writes the time by kind of work. Shares are of the CPU time of all rows.
pub(super) fn work(page: &mut Page<'_>, numbers: &BuildReport) {
    let style = *page.style();
    let cpus = numbers.kinds.iter().map(report::KindTime::cpu_ns);
    let all = cpus.fold(
        numbers.queries.cpu_ns.saturating_add(numbers.go_cpu_ns()),
        u64::saturating_add,
    );
    let bar_columns = style.columns().saturating_sub(62).clamp(8, 30);
    let mut table = Table::of_texts();
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    table.row(vec![
        dim("  Work"),
        dim("runs"),
        dim("running"),
        dim("CPU"),
        dim("share of CPU"),
    ]);
    let mut row = |name: &str, runs: Option<u64>, running: Option<u64>, cpu: Option<u64>| {
        let number = |value: Option<String>| Line::plain(&value.unwrap_or_default());
        let share = cpu.map(|cpu| {
            let share = units::share(cpu, all);
            Line::plain(&format!("{share:>6}  "))
                .then_painted(Paint::Dim, &style.bar(cpu, all, bar_columns))
        });
        table.row(vec![
            Line::plain(&format!("    {name}")),
            number(runs.map(units::count)),
            number(running.map(units::span)),
            number(cpu.map(units::span)),
            share.unwrap_or_default(),
        ]);
    };
    if numbers.loading_ns > 0 {
        row("load packages", None, Some(numbers.loading_ns), None);
    }
    for it in numbers.kinds.iter().take(KINDS) {
        row(
            word::work(it.kind),
            Some(it.runs),
            Some(it.running_ns),
            Some(it.cpu_ns()),
        );
    }
    if let Some(rest) = numbers.kinds.get(KINDS..).filter(|it| !it.is_empty()) {
        let sum =
            |of: fn(&report::KindTime) -> u64| rest.iter().map(of).fold(0, u64::saturating_add);
        row(
            "other kinds",
            Some(sum(|it| it.runs)),
            None,
            Some(sum(report::KindTime::cpu_ns)),
        );
    }
    if numbers.queries.runs > 0 {
        row(
            "tool versions",
            Some(numbers.queries.runs),
            None,
            Some(numbers.queries.cpu_ns),
        );
    }
    row("go itself", None, None, Some(numbers.go_cpu_ns()));
    table.put(page, &Line::default(), 20);
}

/// Writes the slowest packages, and the phases of all compilers.
pub(super) fn slowest(page: &mut Page<'_>, build: &Build, numbers: &BuildReport) {
    if numbers.packages.is_empty() {
        return;
    }
    let n_phases = if page.style().columns() < ROOM_FOR_THREE {
        2
    } else {
        3
    };
    let has_phases =
        page.style().columns() >= ROOM_FOR_PHASES && !numbers.compiler_phases.is_empty();
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    let mut table = Table::of_paths();
    let mut head = vec![
        dim("  Slowest packages"),
        dim("took"),
        dim("CPU"),
        dim("memory"),
    ];
    head.push(dim(if has_phases { "compiler phases" } else { "" }));
    table.row(head);
    for it in numbers.packages.iter().take(SLOWEST) {
        table.row(vec![
            package_name(it, build),
            Line::painted(Paint::Bold, &units::span(it.running_ns)),
            Line::plain(&units::span(it.cpu_ns)),
            Line::plain(&units::memory_if_known(it.max_rss_bytes)),
            if has_phases {
                phases(&it.phases, n_phases, page.style().dot())
            } else {
                Line::default()
            },
        ]);
    }
    table.put(page, &Line::default(), 24);
    if !numbers.compiler_phases.is_empty() {
        let all: u64 = numbers
            .compiler_phases
            .iter()
            .map(|it| it.ns)
            .fold(0, u64::saturating_add);
        let mut sorted: Vec<&PhaseTime> = numbers.compiler_phases.iter().collect();
        sorted.sort_by_key(|it| std::cmp::Reverse(it.ns));
        let parts: Vec<Line> = sorted
            .iter()
            .map(|it| {
                Line::plain(&format!(
                    "{} {}",
                    word::phase(&it.name),
                    units::share(it.ns, all)
                ))
            })
            .collect();
        page.flow(word::label("Compiler"), &parts, page.style().dot(), 1);
    }
}

fn package_name(package: &PackageTime, build: &Build) -> Line {
    let name = package.package.to_str();
    // A narrow column keeps the end, which must contain the package and not only the variant.
    let name = without_repeated_path(&name);
    // The module path is the same prefix in all packages of the module, so most of it is omitted.
    let short = build
        .module
        .as_deref()
        .and_then(|module| name.strip_prefix(module)?.strip_prefix('/'));
    let name = short.map_or_else(|| name.to_string(), |it| format!("./{it}"));
    let indent = Line::plain("    ");
    if package.failed {
        indent.then_painted(Paint::Bad, &name)
    } else {
        indent.then(&name)
    }
}

/// `p/q [q.test]` for the variant `p/q [p/q.test]` of a tested package, which repeats the path. Other variants stay as they are.
fn without_repeated_path(name: &str) -> Cow<'_, str> {
    let variant = name.split_once(" [").and_then(|(package, variant)| {
        let tested = variant.strip_suffix(".test]")?;
        let is_own = package.strip_suffix("_test").unwrap_or(package) == tested;
        let (_, last) = tested.rsplit_once('/')?;
        is_own.then(|| format!("{package} [{last}.test]"))
    });
    variant.map_or(Cow::Borrowed(name), Cow::Owned)
}

/// The longest phases with their times.
fn phases(phases: &[PhaseTime], n: usize, dot: &str) -> Line {
    let mut sorted: Vec<&PhaseTime> = phases.iter().filter(|it| it.ns > 0).collect();
    sorted.sort_by_key(|it| std::cmp::Reverse(it.ns));
    let shown: Vec<String> = sorted
        .iter()
        .take(n)
        .map(|it| format!("{} {}", word::phase(&it.name), units::span(it.ns)))
        .collect();
    Line::plain(&shown.join(dot))
}

/// Writes the longest links with their longest phases.
pub(super) fn links(page: &mut Page<'_>, numbers: &BuildReport) {
    for link in numbers.links.iter().take(LINKS) {
        page.gap();
        let package = link
            .package
            .as_ref()
            .map_or_else(|| "?".into(), ByteString::to_str);
        let mut parts = vec![
            Line::plain(&package)
                .then(" ")
                .then_painted(Paint::Bold, &units::span(link.wall_ns)),
            Line::plain(&format!("{} CPU", units::span(link.cpu_ns))),
            Line::plain(&units::memory_if_known(link.max_rss_bytes)),
        ];
        if link.external_ns > 0 {
            parts.push(Line::plain(&format!(
                "C linker {}",
                units::span(link.external_ns)
            )));
        }
        let dot = page.style().dot();
        page.flow(word::label("Link"), &parts, dot, 1);
        let phases: Vec<Line> = link
            .phases
            .iter()
            .filter(|it| it.ns > 0)
            .map(|it| Line::plain(&format!("{} {}", it.name, units::span(it.ns))))
            .collect();
        if !phases.is_empty() {
            page.flow(word::label("  phases"), &phases, dot, 1);
        }
    }
    let more = numbers.links.get(LINKS..).unwrap_or_default();
    if !more.is_empty() {
        let ns = more
            .iter()
            .map(|it| it.wall_ns)
            .fold(0, u64::saturating_add);
        let text = format!("and {} more, {} together", more.len(), units::span(ns));
        page.line(word::label("").then_painted(Paint::Dim, &text));
    }
}
