//! Shared parts of the tests: real toolchains, real builds, the built `gotrace`, and oracles that are independent of it.
//!
//! A test must not skip itself. A missing requirement is a panic that names the command to run; `cargo xtask test` installs all
//! requirements first. No test uses the network or the caller's caches: every build has its own [`Sandbox`].
#![expect(
    clippy::panic,
    reason = "in a test harness a panic is the failure of the test"
)]

pub mod agent;
pub mod bpffs;
pub mod dashboard;
pub mod figures;
pub mod lease;
pub mod machine;
pub mod oracle;
pub mod otlp;
pub mod parallel_builds;
pub mod phases;
#[cfg(feature = "traced")]
pub mod traced;

mod gate;
mod gotrace;
mod memory_limit;
mod module;
mod podman;
mod pypi;
mod sandbox;
mod toolchain;
mod warm;

pub use gate::Gate;
pub use gotrace::{
    STATIC_BUILD, STATIC_TARGET, gotrace, gotrace_command, package, read_json, run_gotrace,
    static_gotrace,
};
pub use memory_limit::MemoryLimit;
pub use module::{Module, with_each_toolchain};
pub use podman::{PODMAN_PACKAGES, PODMAN_SUITE, Podman, podman_tree};
pub use pypi::{PYPI_PACKAGES, helm_library, pypi_dir, pypi_python};
pub use sandbox::Sandbox;
pub use toolchain::{
    OFFICIAL_VERSIONS, Toolchain, target_dir, toolchain, toolchain_dir, toolchains,
};
#[cfg(feature = "traced")]
pub use traced::Traced;
pub use warm::{NO_GC, targets_cache, warm_cache};
