//! What stands around a process that is shut in, as it tells others. It puts nothing up.

use serde::{Deserialize, Serialize};

/// What stands, of walls that a kernel may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restrictions {
    /// Version of Landlock that the kernel enforces, 0 without it.
    pub landlock: u32,
}
