//! Gaps of the trace, as sentences with counts, and refused probes.
//!
//! The same gap in many processes is one sentence. The gap with the largest effect on the summary comes first.

use std::collections::BTreeMap;

use tracer_core::event::Refusal;
use tracer_core::model::{Anomaly, Trace};
use tracer_core::report;

use crate::render::style::{Line, Page, Paint};
use crate::render::units;

const NOTES: usize = 6;

/// The number of gaps of one kind.
#[derive(Clone, Debug, Default)]
struct Gap {
    n: u64,
    /// One of the gaps, for the sentence.
    example: String,
}

/// The kind of a gap, in the order of the notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum GapKind {
    Lost,
    Unreadable,
    StartUnseen,
    EndUnseen,
    ProbesLate,
    ProbesChanged,
    PhasesUnseen,
    ToolUnknown,
    Reused,
    Cut,
    SpanUnpaired,
    InstallUnseen,
}

/// Writes the notes.
pub(super) fn notes(page: &mut Page<'_>, trace: &Trace) {
    let mut gaps: BTreeMap<GapKind, Gap> = BTreeMap::new();
    for anomaly in report::anomalies(trace) {
        let Some((kind, n, example)) = classify(anomaly) else {
            continue;
        };
        let gap = gaps.entry(kind).or_default();
        gap.n = gap.n.saturating_add(n);
        if kind == GapKind::Lost && !gap.example.is_empty() {
            gap.example = format!("{}, {example}", gap.example);
        } else if gap.example.is_empty() {
            gap.example = example;
        }
    }
    // Losses without an anomaly count, too.
    let untold = trace
        .events
        .lost
        .saturating_sub(gaps.get(&GapKind::Lost).map_or(0, |it| it.n));
    if untold > 0 {
        let gap = gaps.entry(GapKind::Lost).or_default();
        gap.n = gap.n.saturating_add(untold);
    }
    let untold = trace
        .events
        .unreadable
        .saturating_sub(gaps.get(&GapKind::Unreadable).map_or(0, |it| it.n));
    if untold > 0 {
        let gap = gaps.entry(GapKind::Unreadable).or_default();
        gap.n = gap.n.saturating_add(untold);
    }

    let rest: Vec<String> = refused(trace).into_iter().chain(not_final(trace)).collect();
    if !gaps.is_empty() || !rest.is_empty() {
        page.gap();
    }
    let head = |page: &Page<'_>| {
        Line::plain("  ")
            .then_painted(Paint::Warn, page.style().bullet())
            .then(" ")
    };
    for (kind, gap) in gaps.iter().take(NOTES) {
        page.sentence(head(page), &sentence(*kind, gap), 2);
    }
    let more: u64 = gaps
        .values()
        .skip(NOTES)
        .map(|it| it.n)
        .fold(0, u64::saturating_add);
    if more > 0 {
        let text = format!(
            "and {} of less importance (see --format json)",
            units::counted(more, "gap", "gaps")
        );
        page.sentence(head(page), &text, 1);
    }
    for text in rest {
        page.sentence(head(page), &text, 2);
    }
}

/// The note on CPU times that end at the exit. This is no anomaly, because the missing part is small.
fn not_final(trace: &Trace) -> Option<String> {
    let calls = trace.builds.iter().flat_map(|it| &it.calls);
    let n = calls
        .filter(|it| it.end.is_some() && !it.usage.is_final)
        .count();
    let tools = units::counted(n as u64, "tool", "tools");
    (n > 0).then(|| {
        format!("the CPU time of {tools} is known up to the exit only, without the freeing of memory after it")
    })
}

/// Refused probes are not classified here: [`refused`] lists them by toolchain.
fn classify(anomaly: &Anomaly) -> Option<(GapKind, u64, String)> {
    Some(match anomaly {
        Anomaly::Lost { kind, n } => (GapKind::Lost, *n, format!("{} {kind}", units::count(*n))),
        Anomaly::Unreadable { n } => (GapKind::Unreadable, *n, String::new()),
        Anomaly::StartUnseen { process } => (
            GapKind::StartUnseen,
            1,
            format!("process {}", process.tgid.0),
        ),
        Anomaly::EndUnseen { program, .. } => (GapKind::EndUnseen, 1, program.to_string()),
        Anomaly::Reused { process } => (GapKind::Reused, 1, format!("process {}", process.tgid.0)),
        Anomaly::Cut { what, .. } => (GapKind::Cut, 1, what.clone()),
        Anomaly::ProbesLate { path, .. } => (GapKind::ProbesLate, 1, path.to_string()),
        Anomaly::ProbesChanged { path, .. } => (GapKind::ProbesChanged, 1, path.to_string()),
        Anomaly::PhasesUnseen { role, .. } => {
            (GapKind::PhasesUnseen, 1, format!("{role:?}").to_lowercase())
        }
        Anomaly::SpanUnpaired { process, n } => (
            GapKind::SpanUnpaired,
            *n,
            format!("process {}", process.tgid.0),
        ),
        Anomaly::InstallUnseen { path } => (GapKind::InstallUnseen, 1, path.to_string()),
        Anomaly::ToolUnknown { path, .. } => (GapKind::ToolUnknown, 1, path.to_string()),
        Anomaly::ProbesRefused { .. } => return None,
    })
}

fn sentence(kind: GapKind, gap: &Gap) -> String {
    let Gap { n, example } = gap;
    let n = *n;
    let processes = units::counted(n, "process", "processes");
    let has = if n == 1 { "has" } else { "have" };
    match kind {
        GapKind::Lost => {
            let kinds = if example.is_empty() {
                String::new()
            } else {
                format!(" ({example})")
            };
            format!(
                "{} lost{kinds}: numbers above may be too low",
                units::counted(n, "event was", "events were")
            )
        }
        GapKind::Unreadable => format!(
            "{} could not be decoded",
            units::counted(n, "record", "records")
        ),
        GapKind::StartUnseen => {
            format!("the start of {processes} was not seen (the first: {example})")
        }
        GapKind::EndUnseen => format!(
            "the end of {processes} was not seen (the first: {example}): their times are lower bounds"
        ),
        GapKind::ProbesLate => {
            format!(
                "{processes} began before the probes were attached: actions or phases are missing (the first: {example})"
            )
        }
        GapKind::ProbesChanged => format!(
            "the level of detail changed while {processes} ran: actions, phases or cache keys are missing (the first: {example})"
        ),
        GapKind::PhasesUnseen => format!(
            "{processes} reported no phases though the probes were attached (the first: {example})"
        ),
        GapKind::ToolUnknown => {
            format!(
                "{processes} ran a tool that could not be read in time: actions or phases are missing (the first: {example})"
            )
        }
        GapKind::Reused => {
            format!(
                "the id of {processes} was in use again before an exit was seen (the first: {example})"
            )
        }
        GapKind::Cut => format!(
            "{processes} {has} arguments or environment that were cut or unreadable (the first: {example})"
        ),
        GapKind::SpanUnpaired => {
            format!(
                "{} began and {has} no end (the first: {example})",
                units::counted(n, "span", "spans")
            )
        }
        GapKind::InstallUnseen => {
            format!(
                "{} announced but not seen to be written: {example}",
                units::counted(n, "output was", "outputs were")
            )
        }
    }
}

/// A line for each toolchain with refused probes.
fn refused(trace: &Trace) -> Vec<String> {
    let mut programs: BTreeMap<String, (String, &[Refusal])> = BTreeMap::new();
    for anomaly in report::anomalies(trace) {
        if let Anomaly::ProbesRefused { path, refused } = anomaly {
            programs.insert(path.to_string(), (String::new(), refused));
        }
    }
    for tool in trace.tools.iter().filter(|it| !it.refused.is_empty()) {
        programs.insert(tool.path.to_string(), (tool.version.clone(), &tool.refused));
    }
    let mut toolchains: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, (version, refused)) in &programs {
        let Some(first) = refused.first() else {
            continue;
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let why = format!(
            "{name}: {} ({})",
            first.why,
            units::counted(refused.len() as u64, "probe", "probes")
        );
        toolchains
            .entry(format!("{version} {}", goroot(path)).trim().to_owned())
            .or_default()
            .push(why);
    }
    toolchains
        .into_iter()
        .map(|(toolchain, whys)| format!("probes not attached in {toolchain}: {}", whys.join("; ")))
        .collect()
}

/// The toolchain of a program, by its path.
fn goroot(path: &str) -> &str {
    let dir = path.rsplit_once('/').map_or(path, |(dir, _)| dir);
    let root = dir.rsplit_once("/pkg/tool/").map(|(root, _)| root);
    root.or_else(|| dir.strip_suffix("/bin")).unwrap_or(dir)
}
