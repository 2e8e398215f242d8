//! CPU time by module, for builds that compiled many packages.

use tracer_core::model::ModuleKind;
use tracer_core::report::{BuildReport, ModuleTime};

use crate::render::style::{Line, Page, Paint, Table};
use crate::render::units;

/// Smallest number of compiled packages of a large build.
const LARGE: usize = 30;
/// Largest number of modules that are listed.
const LISTED: usize = 4;

/// Writes the modules with the most CPU time, and the sum of the others. Shares are of the CPU time of all modules.
pub(super) fn modules(page: &mut Page<'_>, numbers: &BuildReport) {
    let modules = &numbers.cpu_by_module;
    if numbers.packages.len() < LARGE || modules.len() < 2 {
        return;
    }
    let sum = |of: &[ModuleTime], number: fn(&ModuleTime) -> u64| {
        of.iter().map(number).fold(0, u64::saturating_add)
    };
    let all = sum(modules, |it| it.cpu_ns);
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    let mut table = Table::of_paths();
    table.row(vec![
        dim("  CPU by module"),
        dim("packages"),
        dim("CPU"),
        dim("share"),
    ]);
    let mut row = |name: Line, cpu_ns: u64, packages: u64| {
        table.row(vec![
            Line::plain("    ").then_line(name),
            Line::plain(&units::count(packages)),
            Line::plain(&units::span(cpu_ns)),
            Line::plain(&format!("{:>6}", units::share(cpu_ns, all))),
        ]);
    };
    // One more line is as long as the line about it.
    let n_listed = if modules.len() == LISTED + 1 {
        modules.len()
    } else {
        LISTED
    };
    let (listed, rest) = modules.split_at(n_listed.min(modules.len()));
    for it in listed {
        row(name(it), it.cpu_ns, it.packages);
    }
    if !rest.is_empty() {
        row(
            dim(&format!("{} more modules", rest.len())),
            sum(rest, |it| it.cpu_ns),
            sum(rest, |it| it.packages),
        );
    }
    page.gap();
    table.put(page, &Line::default(), 24);
}

fn name(time: &ModuleTime) -> Line {
    let Some(module) = &time.module else {
        return Line::painted(Paint::Dim, "module not known");
    };
    let Some(path) = &module.path else {
        return Line::painted(Paint::Dim, "vendored, module not known");
    };
    let name = match &module.version {
        Some(version) => Line::plain(&format!("{path}@{version}")),
        None => Line::plain(path),
    };
    let place = match module.kind {
        ModuleKind::Standard | ModuleKind::Dependency => return name,
        ModuleKind::Main => " (main module)",
        ModuleKind::Vendored => " (vendored)",
        ModuleKind::Replaced => " (replaced)",
    };
    name.then_painted(Paint::Dim, place)
}
