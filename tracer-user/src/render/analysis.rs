//! The text of `gotrace analyze`: the kind of the file, then the use of its bytes, from coarse to fine.

use std::io::{self, Write};

use tracer_binary::analysis::{Analysis, SectionSize};

use super::analysis_head::{findings, head};
use super::style::{Line, Page, Paint, Style, Table};
use super::units;

/// Width of a bar.
const BAR: usize = 20;
/// Writes the analysis of the file called `name`, at most `top` rows of each table.
pub fn analysis(
    name: &str,
    analysis: &Analysis,
    top: usize,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style);
    head(name, analysis, &mut page);
    findings(analysis, &mut page);
    groups(analysis, &mut page);
    contents(analysis, &mut page);
    sections(analysis, &mut page);
    members(analysis, top, &mut page);
    modules(analysis, top, &mut page);
    packages(analysis, top, &mut page);
    symbols(analysis, top, &mut page);
    page.write(out)
}

/// The first columns of every table: name, bytes, share and bar.
fn sized(style: &Style, name: Line, bytes: u64, whole: u64, rest: Vec<Line>) -> Vec<Line> {
    let mut cells = vec![
        name,
        Line::plain(&units::size(bytes)),
        Line::plain(&units::share(bytes, whole)),
    ];
    cells.extend(rest);
    cells.push(Line::painted(Paint::Dim, &style.bar(bytes, whole, BAR)));
    cells
}

fn table(page: &mut Page<'_>, title: &str, rows: Vec<Vec<Line>>) {
    if rows.is_empty() {
        return;
    }
    page.gap();
    page.line(Line::painted(Paint::Bold, title));
    let mut table = Table::of_paths();
    for row in rows {
        table.row(row);
    }
    table.put(page, &Line::plain("  "), 20);
}

fn groups(analysis: &Analysis, page: &mut Page<'_>) {
    let style = page.style();
    let rows = analysis.groups.iter().map(|group| {
        let packages = if group.packages > 0 {
            units::counted(group.packages, "package", "packages")
        } else {
            String::new()
        };
        sized(
            style,
            Line::plain(group.group.name()),
            group.bytes,
            analysis.size,
            vec![Line::plain(&packages)],
        )
    });
    table(page, "Whose", rows.collect());
}

fn contents(analysis: &Analysis, page: &mut Page<'_>) {
    let style = page.style();
    let rows = analysis.contents.iter().map(|it| {
        sized(
            style,
            Line::plain(it.content.name()),
            it.bytes,
            analysis.size,
            Vec::new(),
        )
    });
    table(page, "What", rows.collect());
}

fn sections(analysis: &Analysis, page: &mut Page<'_>) {
    let is_small = |section: &&SectionSize| {
        section.disk.max(section.memory).saturating_mul(1000) < analysis.size
    };
    let (small, shown): (Vec<_>, Vec<_>) = analysis.sections.iter().partition(is_small);
    let rows = shown.into_iter().map(|section| {
        let entropy = section
            .entropy
            .map_or(String::new(), |bits| format!("{bits:.2} bits"));
        let memory = if section.memory == section.disk {
            String::new()
        } else {
            units::size(section.memory)
        };
        vec![
            Line::plain(&section.name),
            Line::plain(&if section.disk > 0 {
                units::size(section.disk)
            } else {
                "-".to_owned()
            }),
            Line::plain(&units::share(section.disk, analysis.size)),
            Line::painted(Paint::Dim, &memory),
            Line::plain(&entropy),
            Line::painted(Paint::Dim, &about_section(section)),
        ]
    });
    table(
        page,
        "Sections: on disk, in memory where that differs, entropy",
        rows.collect(),
    );
    if !small.is_empty() {
        let bytes = small.iter().map(|section| section.disk).sum();
        let text = format!(
            "  and {} under 0.1 %, {} in all",
            units::count(small.len() as u64),
            units::size(bytes)
        );
        page.line(Line::painted(Paint::Dim, &text));
    }
}

fn about_section(section: &SectionSize) -> String {
    if section.compression.is_some() {
        return "compressed".to_owned();
    }
    if section.disk == 0 {
        return "memory only".to_owned();
    }
    // Up to one percent, the unattributed part is not shown.
    if section.unattributed * 100 > section.disk {
        return format!(
            "{} unattributed",
            units::share(section.unattributed, section.disk)
        );
    }
    String::new()
}

fn members(analysis: &Analysis, top: usize, page: &mut Page<'_>) {
    let style = page.style();
    let mut members: Vec<_> = analysis.members.iter().collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.bytes));
    let title = titled("Members", top, members.len());
    let rows = members.into_iter().take(top).map(|member| {
        sized(
            style,
            Line::plain(&member.name),
            member.bytes,
            analysis.size,
            Vec::new(),
        )
    });
    table(page, &title, rows.collect());
}

fn titled(what: &str, top: usize, all: usize) -> String {
    if all > top {
        format!("{what}: the largest {top} of {}", units::count(all as u64))
    } else {
        what.to_owned()
    }
}

fn modules(analysis: &Analysis, top: usize, page: &mut Page<'_>) {
    let style = page.style();
    let rows = analysis.modules.iter().take(top).map(|module| {
        let mut name = Line::plain(&module.path);
        if !module.version.is_empty() {
            name = name.then_painted(Paint::Dim, &format!(" {}", module.version));
        }
        if module.is_guess {
            name = name.then_painted(Paint::Dim, " (guessed)");
        }
        sized(
            style,
            name,
            module.bytes,
            analysis.size,
            vec![Line::plain(&units::counted(
                module.packages,
                "package",
                "packages",
            ))],
        )
    });
    let rows = rows.collect();
    let title = titled("Modules", top, analysis.modules.len());
    table(page, &title, rows);
}

fn packages(analysis: &Analysis, top: usize, page: &mut Page<'_>) {
    let style = page.style();
    let rows = analysis.packages.iter().take(top).map(|package| {
        sized(
            style,
            Line::plain(&package.path),
            package.bytes,
            analysis.size,
            Vec::new(),
        )
    });
    let rows = rows.collect();
    table(
        page,
        &titled("Packages", top, analysis.packages.len()),
        rows,
    );
}

fn symbols(analysis: &Analysis, top: usize, page: &mut Page<'_>) {
    let style = page.style();
    let count = usize::try_from(analysis.symbols.count).unwrap_or(usize::MAX);
    let rows = analysis.symbols.list.iter().take(top).map(|symbol| {
        let content = Line::painted(Paint::Dim, symbol.content.name());
        sized(
            style,
            Line::plain(&symbol.name),
            symbol.bytes,
            analysis.size,
            vec![content],
        )
    });
    let rows = rows.collect();
    let top = top.min(analysis.symbols.list.len());
    table(page, &titled("Symbols", top, count), rows);
}
