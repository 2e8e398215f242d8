//! The stored form of a finished build: an [`Entry`] to find and compare it by, and the build itself, packed.
//!
//! The input is a [`Trace`]; the outputs are entries, keys and deletion plans. This module stores nothing and depends on no database. The
//! rim stores the data; it asks this module for the content, for the identity of comparable builds, and for the builds to delete.

mod baseline;
mod entry;
mod id;
mod key_blob;
mod keys;
mod pack;
mod part;
mod retention;
mod setup;

pub use baseline::{Baseline, BaselineId, BranchClass};
pub use entry::{BuildContext, Entry, Target, commit};
pub use id::{BuildId, IdPrefix, InvalidBuildId};
pub use key_blob::{pack_keys, unpack_keys, unpack_keys_of};
pub use keys::{ActionTimes, StoredKey};
pub use pack::{UnpackError, pack, unpack};
pub use part::{Kept, builds};
pub use retention::{Aged, Excess, Limits, excess, n_to_delete};
pub use setup::{REMEMBERED, Reason, SettingGroup, Setup, SetupHistory};

use crate::event::Ktime;
use crate::model::Trace;

/// Nanoseconds since 1970 for an instant of the trace. A time outside of 1970 to 2262 is moved to the limit.
pub(crate) fn unix_ns(trace: &Trace, at: Ktime) -> i64 {
    let boot = i64::try_from(at.0).unwrap_or(i64::MAX);
    boot.saturating_add(trace.boot_to_wall_ns).max(0)
}

#[cfg(test)]
pub(crate) mod tests;
