//! The GOMEMLIMIT with which a Go tool fits in an amount of memory.
//!
//! The rule was measured with the compiler of Go 1.27: its peak exceeds GOMEMLIMIT by at most 18 MiB, and is at least 1.35 times the
//! largest live heap. Memory outside of the heap, such as files that the linker maps, does not follow GOMEMLIMIT.

use crate::model::ToolCall;

/// The program itself, its stacks, and what the collector overshoots.
const OUTSIDE: u64 = 20 << 20;

/// The peak and the largest live heap of a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) peak: u64,
    pub(super) live_heap: u64,
}

impl Need {
    /// Absent if the peak or the heap is not known.
    pub(super) fn of(call: &ToolCall) -> Option<Self> {
        let live = call.gc_cycles.iter().filter_map(|it| it.heap_marked).max();
        Some(Self {
            peak: call.usage.max_rss_bytes?,
            live_heap: live?,
        })
    }

    /// The larger needs of two runs.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            peak: self.peak.max(other.peak),
            live_heap: self.live_heap.max(other.live_heap),
        }
    }

    /// A limit that keeps the tool below `room`. Absent if most of its memory is no heap, or if its live heap is too large.
    pub(super) fn limit_for(self, room: u64) -> Option<u64> {
        // Without a limit, the heap grows to twice the live heap.
        let is_heap = self.live_heap.saturating_mul(8) >= self.peak.saturating_mul(3);
        let limit = room.checked_sub(OUTSIDE)?;
        let least = self.live_heap.saturating_mul(27) / 20;
        (is_heap && limit >= least).then_some(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limit(peak: u64, live_heap: u64, room: u64) -> Option<u64> {
        let need = Need {
            peak: peak * MIB,
            live_heap: live_heap * MIB,
        };
        need.limit_for(room * MIB).map(|it| it / MIB)
    }

    #[test]
    fn a_limit_needs_room_for_the_live_heap() {
        // The compiler at the package `runtime`.
        assert_eq!(limit(260, 132, 230), Some(210));
        assert_eq!(limit(260, 132, 199), Some(179));
        assert_eq!(limit(260, 132, 197), None);
        assert_eq!(limit(260, 132, 10), None);
    }

    /// The linker maps its output.
    #[test]
    fn a_tool_with_a_small_heap_has_no_limit() {
        assert_eq!(limit(179, 29, 150), None);
        assert_eq!(limit(148, 66, 130), Some(110));
    }
}
