//! The end of a process, and its resource usage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Ktime, ProcKey};

/// The last thread of a process exits. Its memory may still have to be freed, which adds to its system time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub at: Ktime,
    pub process: ProcKey,
    pub status: Status,
    pub usage: Usage,
    /// True if the kernel's out-of-memory killer had chosen this process. It can choose one that ends for another reason.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_oom_victim: bool,
}

/// The parent has waited for a process, and the kernel has released it: its final times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaped {
    pub at: Ktime,
    pub process: ProcKey,
    /// The time at which its parent was notified of its end; absent if the parent does not want a notification.
    pub ended: Option<Ktime>,
    /// CPU time in user mode, nanoseconds.
    pub user_ns: u64,
    /// CPU time in the kernel, nanoseconds.
    pub system_ns: u64,
    /// As in [`Exit`]; the choice can follow the exit.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_oom_victim: bool,
}

/// For `serde`, which passes a reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
fn is_false(it: &bool) -> bool {
    !it
}

/// The exit status of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Code(u8),
    Signal(u8),
}

impl Status {
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// Resources that a process used in its life, without its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// CPU time in user mode, nanoseconds.
    pub user_ns: u64,
    /// CPU time in the kernel, nanoseconds.
    pub system_ns: u64,
    /// Largest resident set in bytes; of several processes, the largest value. `None`: unknown.
    pub max_rss_bytes: Option<u64>,
    /// Upper bound of the largest resident set, if it may be larger than `max_rss_bytes`. Until Linux 6.15, the kernel counts the earlier
    /// programs of a process together with this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rss_at_most_bytes: Option<u64>,
    /// Time that the threads waited for a CPU although they could run, nanoseconds; of several processes, the sum. Absent if the kernel does
    /// not keep it, or if it is unknown for a thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_delay_ns: Option<u64>,
    /// Time that the threads waited for block devices, likewise. The kernel keeps it only with delay accounting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_io_ns: Option<u64>,
    /// True if the times are those that the kernel reported to the parent. False if the times of at least one process were taken at its
    /// exit: the time in which its memory was freed is missing.
    #[serde(default)]
    pub is_final: bool,
}

impl Usage {
    /// The total of several processes: the sum of their CPU time, and the largest resident set.
    pub fn total(each: impl Iterator<Item = Self>) -> Self {
        let mut total = Self::default();
        let mut are_final = None;
        let mut waits = None;
        for it in each {
            total.user_ns = total.user_ns.saturating_add(it.user_ns);
            total.system_ns = total.system_ns.saturating_add(it.system_ns);
            total.max_rss_bytes = total.max_rss_bytes.max(it.max_rss_bytes);
            let at_most = it.max_rss_at_most_bytes;
            total.max_rss_at_most_bytes = total.max_rss_at_most_bytes.max(at_most);
            are_final = Some(are_final.unwrap_or(true) && it.is_final);
            let (run_delay, block_io) = waits.unwrap_or((Some(0), Some(0)));
            waits = Some((
                sum(run_delay, it.run_delay_ns),
                sum(block_io, it.block_io_ns),
            ));
        }
        (total.run_delay_ns, total.block_io_ns) = waits.unwrap_or_default();
        // The known value of one process may exceed the bound of another.
        total.max_rss_at_most_bytes = total
            .max_rss_at_most_bytes
            .filter(|it| Some(*it) > total.max_rss_bytes);
        total.is_final = are_final.unwrap_or(false);
        total
    }
}

/// The sum, if both are known.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a.saturating_add(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_of_several_processes_are_known_if_each_is() {
        let usage = |run_delay_ns, block_io_ns| Usage {
            run_delay_ns,
            block_io_ns,
            ..Usage::default()
        };
        let waits = |each: &[Usage]| {
            let total = Usage::total(each.iter().copied());
            (total.run_delay_ns, total.block_io_ns)
        };
        let all = [usage(Some(3), None), usage(Some(4), Some(1))];
        assert_eq!(waits(&all), (Some(7), None));
        assert_eq!(waits(&[usage(None, Some(2))]), (None, Some(2)));
        assert_eq!(waits(&[]), (None, None));
    }
}
