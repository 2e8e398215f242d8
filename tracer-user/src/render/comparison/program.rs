//! The outputs of both builds, as text.

use std::collections::BTreeSet;

use tracer_core::byte_string::ByteString;
use tracer_core::compare::{BytesChange, ProgramChange, ProgramModuleChange};

use super::{cells, paint, signed, title, units, versions};
use crate::render::price::sentence as missing_sentence;
use crate::render::style::{Line, Page, Paint, Table};

/// Writes the sizes of one output, at most `top` rows of each table.
pub(super) fn program(page: &mut Page<'_>, it: &ProgramChange, top: usize) {
    page.gap();
    let name = Line::plain("  Output ").then_painted(Paint::Bold, &it.package);
    if it.is_same {
        let size = it.before_bytes.map(units::size).unwrap_or_default();
        page.line(name.then(&format!("  {size}, the same file in both builds")));
        return;
    }
    match (it.before_bytes, it.after_bytes) {
        (Some(before), Some(after)) => {
            let mut table = Table::of_paths();
            table.row(cells(&name, Some(before), Some(after), units::size));
            table.put(page, &Line::default(), 24);
        }
        (before, after) => {
            let build = if before.is_some() { "first" } else { "second" };
            let size = before.or(after).map(units::size).unwrap_or_default();
            page.line(name.then(&format!("  {size}, only in the {build} build")));
            return;
        }
    }
    methods(page, it);
    let missing = it.before_missing.iter().chain(&it.after_missing);
    let missing: BTreeSet<&str> = missing.map(|it| missing_sentence(*it)).collect();
    for text in missing {
        page.sentence(Line::plain("    "), text, 3);
    }
    modules(page, &it.modules, top);
    rows(page, "Packages in the file", &it.packages, top);
    rows(page, "Sections", &it.sections, top);
}

/// A change of the linker's elimination of methods, and the functions that caused it.
fn methods(page: &mut Page<'_>, it: &ProgramChange) {
    let text = match (it.before_drops_methods, it.after_drops_methods) {
        (Some(true), Some(false)) => {
            "The linker keeps all exported methods now, which makes each module larger. The program can find methods by name:"
        }
        (Some(false), Some(true)) => "The linker drops methods that are never called again.",
        _ => return,
    };
    page.sentence(
        Line::plain("    ")
            .then_painted(Paint::Warn, page.style().bullet())
            .then(" "),
        text,
        2,
    );
    let arrow = page.style().arrow();
    for it in &it.new_reflect_uses {
        let by = it.chain.as_ref().map_or_else(
            || "the caller is not known".to_owned(),
            |chain| {
                let names: Vec<_> = chain.iter().map(ByteString::to_str).collect();
                format!("by {}", names.join(&format!(" {arrow} ")))
            },
        );
        page.sentence(Line::plain("      ").then(&it.function).then(", "), &by, 3);
    }
}

fn rows(page: &mut Page<'_>, name: &str, rows: &[BytesChange], top: usize) {
    if rows.is_empty() || top == 0 {
        return;
    }
    title(page, name, rows.len(), top);
    let mut table = Table::of_paths();
    for it in rows.iter().take(top) {
        let (before, after) = (it.before_bytes, it.after_bytes);
        table.row(vec![
            Line::plain(&it.name),
            Line::plain(&bytes(before)),
            Line::plain(&bytes(after)),
            difference(before, after),
        ]);
    }
    table.put(page, &Line::plain("    "), 20);
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), units::size)
}

fn difference(before: Option<u64>, after: Option<u64>) -> Line {
    let text = signed(before.unwrap_or(0), after.unwrap_or(0), units::size);
    Line::painted(paint(before, after), &text)
}

fn modules(page: &mut Page<'_>, modules: &[ProgramModuleChange], top: usize) {
    if modules.is_empty() || top == 0 {
        return;
    }
    title(page, "Modules in the file", modules.len(), top);
    let arrow = page.style().arrow();
    let mut table = Table::of_paths();
    let names = ["", "before", "after", "difference", "retained", ""];
    table.row(names.map(|it| Line::painted(Paint::Dim, it)).to_vec());
    for it in modules.iter().take(top) {
        let (before, after) = (it.before_own_bytes, it.after_own_bytes);
        let (first, second) = (it.before_retained_bytes, it.after_retained_bytes);
        let retained = if first == second {
            Line::default()
        } else {
            difference(first, second)
        };
        table.row(vec![
            Line::plain(&it.path),
            Line::plain(&bytes(before)),
            Line::plain(&bytes(after)),
            difference(before, after),
            retained,
            Line::plain(&versions(
                it.before_version.as_ref(),
                it.after_version.as_ref(),
                arrow,
            )),
        ]);
    }
    table.put(page, &Line::plain("    "), 20);
}
