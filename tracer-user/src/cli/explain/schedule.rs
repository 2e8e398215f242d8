//! `gotrace explain --time`, `--tests` and `--memory`: prints numbers from the schedule of a build.

use anyhow::bail;
use tracer_core::schedule::{MemoryReport, TestLedger, TimeReport};

use super::without_details;
use crate::cli::show::BuildArgs;
use crate::history::BuildView;
use crate::render;

/// Returns the exit code. Without `tests` and `memory`, prints the time.
pub(super) fn execute(args: &BuildArgs, tests: bool, memory: bool) -> anyhow::Result<u8> {
    let (shown, earlier) = args.read_with(|reader, shown| {
        if memory && has_killed_tool(shown) {
            reader.earlier(&shown.entry)
        } else {
            Ok(Vec::new())
        }
    })?;
    let finished = shown.finished.as_ref();
    let Some(finished) = finished.and_then(|it| it.builds().next()) else {
        bail!(without_details(&shown.entry.id));
    };
    let (build, entry, cpus) = (finished.build, finished.entry, finished.trace.cpus);
    if tests {
        let ledger = TestLedger::of(build, cpus);
        args.print(entry, &ledger, |style, out| {
            render::test_ledger(build, &ledger, style, out)
        })
    } else if memory {
        let earlier = earlier.iter().flat_map(|it| &it.trace().builds);
        let report = MemoryReport::of(build, finished.end(), cpus, earlier);
        args.print(entry, &report, |style, out| {
            render::memory(build, &report, style, out)
        })
    } else {
        let times = TimeReport::of(build, finished.end());
        args.print(entry, &times, |style, out| {
            render::time(build, &times, cpus, style, out)
        })
    }
}

fn has_killed_tool(shown: &BuildView) -> bool {
    let builds = shown.finished.iter().flat_map(|it| &it.trace().builds);
    let mut calls = builds.flat_map(|it| &it.calls);
    calls.any(|it| it.killed_by.is_some())
}
