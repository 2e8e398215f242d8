//! The restrictions of a sandboxed process, as it reports them. This module applies none.

use serde::{Deserialize, Serialize};

/// The enforced restrictions that not all kernels support.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restrictions {
    /// Version of Landlock that the kernel enforces, 0 without it.
    pub landlock: u32,
}
