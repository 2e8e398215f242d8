//! One build in full.

use tracer_core::event::Ancestor;
use tracer_core::finished::FinishedBuild;
use tracer_core::model::{Build, ToolCall};
use tracer_core::report::BuildReport;
use tracer_core::schedule::TimeReport;

use super::{hint, module, output, time, verdict, word};
use crate::render::style::{Line, Page, Paint};
use crate::render::time::summary as path;
use crate::render::units;

/// Writes the build in full.
pub(super) fn whole(page: &mut Page<'_>, finished: FinishedBuild<'_>) {
    let (build, numbers) = (finished.build, finished.report);
    verdict(
        page,
        Line::painted(Paint::Bold, &word::build(build)),
        build.status,
        numbers.wall_ns,
    );
    if numbers.is_up_to_date {
        nothing_to_do(page, build);
        return;
    }
    failure(page, build);
    page.gap();
    facts(page, build, numbers, finished.trace.cpus);
    page.gap();
    time::work(page, numbers);
    page.gap();
    time::slowest(page, build, numbers);
    module::modules(page, numbers);
    time::links(page, numbers);
    page.gap();
    path(page, build, &TimeReport::of(build, finished.end()));
    page.gap();
    output::outputs(page, build);
    hint::hints(page, numbers);
}

/// Writes a few lines for a build without work.
fn nothing_to_do(page: &mut Page<'_>, build: &Build) {
    let cached = build.packages.cached.unwrap_or(0);
    let is_known = cached > 0 || !build.outputs.is_empty();
    let mut parts = Vec::new();
    parts.extend(
        (cached > 0)
            .then(|| Line::plain(&units::counted(u64::from(cached), "package", "packages"))),
    );
    parts.extend((!is_known).then(|| Line::plain("no compiler, linker or other tool had to run")));
    parts.push(Line::plain(&word::toolchain(&build.toolchain)));
    parts.push(Line::plain("GOFLAGS ").then_line(goflags(build)));
    // Last, because there can be many.
    parts.extend(output::by_size(build).into_iter().map(|it| {
        let line = Line::painted(Paint::Bold, &output::shown_path(&it.path, build));
        line.then(
            &it.artifact
                .as_ref()
                .map_or_else(String::new, |it| format!(" {}", units::size(it.size))),
        )
    }));
    page.flow(
        word::label(if is_known { "Up to date" } else { "Work" }),
        &parts,
        page.style().dot(),
        3,
    );
}

/// Writes the first failure of a failed build.
pub(super) fn failure(page: &mut Page<'_>, build: &Build) {
    let Some(failure) = &build.failure else {
        return;
    };
    let call = failure
        .process
        .and_then(|process| build.calls.iter().find(|it| it.process == process));
    let mut text = word::failed(failure);
    if let Some(call) = call {
        let what = if failure.class.is_by_process() {
            ""
        } else {
            "last to fail: "
        };
        text = format!("{text} ({what}{})", ending(call));
    }
    let compiled = build.packages.compiled;
    if compiled > 0 {
        text = format!(
            "{text}; {} compiled",
            units::counted(u64::from(compiled), "package", "packages")
        );
    }
    let head = Line::plain("  ")
        .then_painted(Paint::Bad, page.style().bullet())
        .then(" ");
    page.sentence(head, &text, 2);
}

fn ending(call: &ToolCall) -> String {
    let status = call
        .status
        .map_or_else(|| "end not seen".to_owned(), word::status);
    let took = call.end.map_or_else(String::new, |end| {
        format!(" after {}", units::span(end.since(call.start)))
    });
    format!("{} {status}{took}", call.program)
}

/// An ancestor of a build.
fn ancestor(it: &Ancestor) -> Line {
    Line::plain(&format!("{} {}", it.name.to_str(), it.process.tgid.0))
}

fn facts(page: &mut Page<'_>, build: &Build, numbers: &BuildReport, cpus: u32) {
    let dot = page.style().dot();
    let mut time = vec![
        Line::painted(Paint::Bold, &units::span(numbers.wall_ns)).then(" wall"),
        Line::plain(&format!("{} user", units::span(build.usage.user_ns))),
        Line::plain(&format!("{} system", units::span(build.usage.system_ns))),
    ];
    time.extend(
        numbers
            .cores_busy
            .map(|it| Line::plain(&word::cores(it, cpus))),
    );
    page.flow(word::label("Time"), &time, dot, 2);

    let mut toolchain = vec![Line::plain(&word::toolchain(&build.toolchain))];
    toolchain.extend(
        build
            .toolchain
            .goroot
            .as_ref()
            .map(|it| Line::plain(&it.to_str())),
    );
    toolchain.extend(
        build
            .toolchain
            .switched_from
            .as_ref()
            .map(|it| Line::plain(&format!("switched from {it}"))),
    );
    page.flow(word::label("Toolchain"), &toolchain, dot, 2);

    let above: Vec<Line> = build.above.iter().map(ancestor).collect();
    if !above.is_empty() {
        page.flow(word::label("Run by"), &above, " < ", 2);
    }

    goflags_in_full(page, build);
    let mut packages = vec![Line::plain(&word::packages(&build.packages))];
    packages.extend(
        build
            .module
            .as_ref()
            .map(|it| Line::plain(&format!("module {it}"))),
    );
    page.flow(word::label("Packages"), &packages, dot, 2);

    let largest = numbers
        .largest_call
        .and_then(|it| build.calls.get(usize::try_from(it).ok()?));
    let mut memory: Vec<Line> = Vec::new();
    let of_all = build.usage.max_rss_bytes;
    let peak = |bytes, whose: &str| {
        Line::plain(&format!(
            "peak {}, by {whose}",
            units::memory_if_known(bytes)
        ))
    };
    memory.extend(match largest {
        Some(call) if call.usage.max_rss_bytes >= of_all => {
            Some(peak(call.usage.max_rss_bytes, &subject(call)))
        }
        _ => of_all.map(|_| peak(of_all, "go itself")),
    });
    let gc = &numbers.gc;
    if gc.cycles > 0 {
        let cycles = units::counted(gc.cycles, "GC cycle", "GC cycles");
        memory.push(Line::plain(&format!(
            "{cycles}, under way {} of the time",
            units::share(gc.ns, gc.of_ns)
        )));
    }
    if !memory.is_empty() {
        page.flow(word::label("Memory"), &memory, dot, 2);
    }
}

/// GOFLAGS and their origin.
pub(super) fn goflags(build: &Build) -> Line {
    let setting = &build.goflags;
    if setting.value.is_empty() {
        return Line::painted(Paint::Dim, "not set");
    }
    Line::plain(&setting.value.to_str())
        .then_painted(Paint::Dim, &format!(" {}", word::origin(&setting.origin)))
}

/// Writes GOFLAGS and their origin, wrapped between flags.
fn goflags_in_full(page: &mut Page<'_>, build: &Build) {
    let setting = &build.goflags;
    let value = setting.value.to_str();
    let mut words: Vec<Line> = value.split_whitespace().map(Line::plain).collect();
    if words.is_empty() {
        words.push(Line::painted(Paint::Dim, "not set"));
    }
    words.push(Line::painted(Paint::Dim, &word::origin(&setting.origin)));
    page.flow(word::label("GOFLAGS"), &words, " ", 3);
}

/// The subject of a tool call: `link example.com/app`.
fn subject(call: &ToolCall) -> String {
    let tool = word::tool(call.kind, &call.program);
    call.package
        .as_ref()
        .map_or_else(|| tool.clone(), |package| format!("{tool} {package}"))
}
