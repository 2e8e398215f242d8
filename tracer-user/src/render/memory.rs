//! The memory of a build's tools, as text.

use std::io::{self, Write};

use tracer_core::model::{Build, Killer};
use tracer_core::schedule::{KilledTool, MemoryReport, ToolMemory};

use super::style::{Line, Page, Paint, Style, Table};
use super::text::{command_line, work};
use super::units;
use super::what_if::{PEAKS, error};

/// Number of tools beside a killed one that are named.
const BESIDE: usize = 6;

pub fn memory(
    build: &Build,
    report: &MemoryReport,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style);
    page.line(Line::painted(Paint::Bold, &command_line(build)));
    for it in &report.killed {
        killed(&mut page, it);
        page.gap();
    }
    page.line(Line::plain("  Largest tools"));
    let mut table = Table::of_texts();
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    table.row(vec![dim("peak"), dim("live heap"), dim("tool")]);
    for it in &report.largest {
        let live = it.live_heap_bytes.map_or_else(String::new, units::memory);
        table.row(vec![
            Line::painted(Paint::Bold, &units::memory_if_known(it.peak_bytes)),
            Line::plain(&live),
            Line::plain(&name(it)),
        ]);
    }
    table.put(&mut page, &Line::plain("    "), 8);
    page.gap();
    if let Some(why) = &report.no_prediction {
        page.sentence(
            Line::plain("  "),
            &format!("Predictions: none, because {why}"),
            3,
        );
        return page.write(out);
    }
    page.line(Line::plain("  Memory by the number of actions at once"));
    let mut table = Table::of_texts();
    for it in &report.by_workers {
        let peak = format!("peaks of {}", units::memory(it.predicted_peak_bytes));
        let took = format!("build of {}", units::span(it.predicted_ns));
        table.row(vec![
            Line::plain(&format!("-p {}", it.predicted_workers)),
            Line::painted(Paint::Bold, &peak),
            Line::plain(&took),
        ]);
    }
    table.put(&mut page, &Line::plain("    "), 8);
    page.sentence(Line::plain("  "), PEAKS, 3);
    if let Some(first) = report.by_workers.first() {
        error(&mut page, build, first);
    }
    page.write(out)
}

fn killed(page: &mut Page<'_>, it: &KilledTool) {
    let by = match it.killed_by {
        Killer::OutOfMemoryKiller => "the kernel's out-of-memory killer",
        Killer::Unknown => "SIGKILL, by whom not known",
    };
    let peak = units::memory_if_known(it.tool.peak_bytes);
    let text = format!("{} was ended by {by}, at a peak of {peak}", name(&it.tool));
    let bullet = page.style().bullet();
    let head = Line::plain("  ").then_painted(Paint::Bad, bullet).then(" ");
    page.sentence(head, &text, 3);
    if it.beside.is_empty() {
        page.line(Line::plain("    no other tool ran at that time"));
    } else {
        let known = it.beside.iter().filter_map(|it| it.peak_bytes);
        let sum = known.fold(it.tool.peak_bytes.unwrap_or(0), u64::saturating_add);
        let named = it.beside.iter().take(BESIDE);
        let named =
            named.map(|it| format!("{} {}", name(it), units::memory_if_known(it.peak_bytes)));
        let text = format!(
            "beside it ran {}; the peaks add up to {}",
            named.collect::<Vec<_>>().join(", "),
            units::memory(sum)
        );
        page.sentence(Line::plain("    "), &text, 4);
    }
    let peaks = &it.earlier_peaks_bytes;
    let text = match (peaks.iter().min(), peaks.iter().max()) {
        (Some(least), Some(most)) => {
            let n = u64::try_from(peaks.len()).unwrap_or(u64::MAX);
            let runs = units::counted(n, "run", "runs");
            let (least, most) = (units::memory(*least), units::memory(*most));
            let range = if least == most {
                most
            } else {
                format!("{least} to {most}")
            };
            format!("earlier peaks of this tool and package: {range} in {runs}")
        }
        _ => "earlier peaks of this tool and package: not known".to_owned(),
    };
    page.sentence(Line::plain("    "), &text, 3);
    if let Some(live) = it.tool.live_heap_bytes {
        let live = units::memory(live);
        let text = match it.go_memory_limit_bytes {
            Some(limit) => format!(
                "its heap had {live} after a garbage collection: GOMEMLIMIT={}MiB most likely keeps it below {peak}",
                limit >> 20
            ),
            None => format!(
                "its heap had {live} after a garbage collection: no GOMEMLIMIT is known that keeps it below {peak}"
            ),
        };
        page.sentence(Line::plain("    "), &text, 3);
    }
}

/// `compile net/http`.
fn name(it: &ToolMemory) -> String {
    let package = it.package.as_ref().map(|it| it.to_str());
    let text = format!("{} {}", work(it.kind), package.unwrap_or_default());
    text.trim_end().to_owned()
}
