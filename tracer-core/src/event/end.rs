//! How a process ended, and what it used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Ktime, ProcKey};

/// The last thread of a process exits. Its memory may still have to be freed, which is part of its system time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub at: Ktime,
    pub process: ProcKey,
    pub status: Status,
    pub usage: Usage,
}

/// The parent has waited for a process, and the kernel has let go of it: what it used in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaped {
    pub at: Ktime,
    pub process: ProcKey,
    /// When its parent was told of its end; a parent may not want to be told.
    pub ended: Option<Ktime>,
    /// Nanoseconds of CPU in user mode.
    pub user_ns: u64,
    /// Nanoseconds of CPU in the kernel.
    pub system_ns: u64,
}

/// How a process ended.
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

/// What a process used over its life, children not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Nanoseconds of CPU in user mode.
    pub user_ns: u64,
    /// Nanoseconds of CPU in the kernel.
    pub system_ns: u64,
    /// Largest resident set in bytes; of several processes, that of the largest one. `None`: not known.
    pub max_rss_bytes: Option<u64>,
    /// Present where the largest resident set may be larger than that, and by no more than up to this: the kernel has counted what a
    /// process ran before together with this program (until Linux 6.15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rss_at_most_bytes: Option<u64>,
    /// Whether the times are those that the kernel told the parent. `false`: of one process at least they are those at its exit, so the
    /// time in which its memory was freed is missing.
    #[serde(default)]
    pub is_final: bool,
}

impl Usage {
    /// Of several processes: their CPU time together, and the largest resident set of any.
    pub fn total(each: impl Iterator<Item = Self>) -> Self {
        let mut total = Self::default();
        let mut are_final = None;
        for it in each {
            total.user_ns = total.user_ns.saturating_add(it.user_ns);
            total.system_ns = total.system_ns.saturating_add(it.system_ns);
            total.max_rss_bytes = total.max_rss_bytes.max(it.max_rss_bytes);
            let at_most = it.max_rss_at_most_bytes;
            total.max_rss_at_most_bytes = total.max_rss_at_most_bytes.max(at_most);
            are_final = Some(are_final.unwrap_or(true) && it.is_final);
        }
        // What is known of one may be more than another can have had.
        total.max_rss_at_most_bytes = total
            .max_rss_at_most_bytes
            .filter(|it| Some(*it) > total.max_rss_bytes);
        total.is_final = are_final.unwrap_or(false);
        total
    }
}
