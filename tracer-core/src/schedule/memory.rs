//! The memory of a build's tools: the largest ones, those that the kernel killed, and what each number of workers needs.

use schemars::JsonSchema;
use serde::Serialize;

use super::go_memory_limit::Need;
use super::what_if::{Conditions, Model, Prediction};
use crate::byte_string::ByteString;
use crate::event::Ktime;
use crate::model::{Build, CallKind, Killer, ToolCall};

/// Number of tools that are listed.
const LARGEST: usize = 10;
/// Largest number of workers that is predicted.
const WORKERS: u32 = 16;

/// The memory of a build.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MemoryReport {
    /// The tools that SIGKILL ended.
    pub killed: Vec<KilledTool>,
    /// The tools with the largest peaks.
    pub largest: Vec<ToolMemory>,
    /// A prediction for each number of actions at once, smallest first. Empty without the graph of the build.
    pub by_workers: Vec<Prediction>,
    /// The reason why there is no prediction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_prediction: Option<String>,
}

/// The memory of one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ToolMemory {
    /// An index into the build's calls.
    pub call: u32,
    pub kind: CallKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<ByteString>,
    /// Largest resident set. Absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// The largest heap that a garbage collection left. A GOMEMLIMIT below it cannot be kept. Absent if no collection was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_heap_bytes: Option<u64>,
}

/// A tool that SIGKILL ended, and the tools beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KilledTool {
    #[serde(flatten)]
    pub tool: ToolMemory,
    pub killed_by: Killer,
    /// The tools that ran when it ended, largest peak first. Their peaks may have been at other times.
    pub beside: Vec<ToolMemory>,
    /// Peaks of the same kind of tool for the same package in earlier builds.
    pub earlier_peaks_bytes: Vec<u64>,
    /// A GOMEMLIMIT that most likely keeps the tool below the peak at which it was killed. Absent if no value does, or if its heap is not
    /// known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go_memory_limit_bytes: Option<u64>,
}

impl MemoryReport {
    /// `earlier` are builds before this one, and `cpus` is the number of CPUs of the machine.
    pub fn of<'a>(
        build: &Build,
        end: Ktime,
        cpus: u32,
        earlier: impl Iterator<Item = &'a Build>,
    ) -> Self {
        let calls = || (0u32..).zip(&build.calls).filter(|(_, it)| !it.is_query);
        let killed = calls().filter_map(|(index, it)| Some((index, it, it.killed_by?)));
        let mut killed: Vec<KilledTool> = killed
            .map(|(index, call, killed_by)| {
                let at = call.end.unwrap_or(end);
                let runs = |it: &ToolCall| it.start <= at && at <= it.end.unwrap_or(end);
                let beside = calls().filter(|(other, it)| *other != index && runs(it));
                KilledTool {
                    tool: memory(index, call),
                    killed_by,
                    beside: by_peak(beside.map(|(index, it)| memory(index, it)).collect()),
                    earlier_peaks_bytes: Vec::new(),
                    go_memory_limit_bytes: None,
                }
            })
            .collect();
        let of_call = |it: &KilledTool| Need::of(build.calls.get(it.tool.call as usize)?);
        let mut needs: Vec<Option<Need>> = killed.iter().map(of_call).collect();
        for earlier in earlier {
            for (it, need) in killed.iter_mut().zip(&mut needs) {
                let same = |call: &&ToolCall| {
                    call.kind == it.tool.kind
                        && call.package == it.tool.package
                        && !call.is_query
                        && call.killed_by.is_none()
                };
                let same = earlier.calls.iter().filter(same);
                for call in same {
                    it.earlier_peaks_bytes.extend(call.usage.max_rss_bytes);
                    *need = need.map(|it| Need::of(call).map_or(it, |earlier| it.max(earlier)));
                }
            }
        }
        for (it, need) in killed.iter_mut().zip(needs) {
            it.go_memory_limit_bytes = need
                .zip(it.tool.peak_bytes)
                .and_then(|(need, peak)| need.limit_for(peak));
        }
        let mut largest = by_peak(calls().map(|(index, it)| memory(index, it)).collect());
        largest.truncate(LARGEST);
        let predicted = Model::of(build, cpus).and_then(|model| {
            let most = model.workers().saturating_mul(2).min(WORKERS);
            let with = |workers: u32| {
                let conditions = Conditions {
                    workers: Some(workers),
                    ..Conditions::default()
                };
                model.predict(&conditions)
            };
            (1..=most).map(with).collect::<Result<Vec<_>, _>>()
        });
        let (by_workers, no_prediction) = match predicted {
            Ok(by_workers) => (by_workers, None),
            Err(why) => (Vec::new(), Some(why.to_string())),
        };
        Self {
            killed,
            largest,
            by_workers,
            no_prediction,
        }
    }
}

fn memory(index: u32, call: &ToolCall) -> ToolMemory {
    let live = call.gc_cycles.iter().filter_map(|it| it.heap_marked);
    ToolMemory {
        call: index,
        kind: call.kind,
        package: call.package.clone(),
        peak_bytes: call.usage.max_rss_bytes,
        live_heap_bytes: live.max(),
    }
}

fn by_peak(mut tools: Vec<ToolMemory>) -> Vec<ToolMemory> {
    tools.sort_by_key(|it| (std::cmp::Reverse(it.peak_bytes), it.call));
    tools
}
