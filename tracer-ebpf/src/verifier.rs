//! Code in a form that the kernel's verifier accepts, on every supported kernel.
//!
//! `bounds` keeps comparisons where the verifier needs them. `branchless` chooses without a branch, so that a loop has few paths.

pub mod bounds;
pub mod branchless;
