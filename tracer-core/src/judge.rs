//! Compares a build with earlier ones: the reason for its cache misses, the drift of its settings, and the size changes of its targets.
//!
//! The detectors compare the last value of a series with the earlier ones: [`exact`] for sizes and counts, [`noisy`] for CPU time and
//! memory. No judgement uses them yet; `cargo xtask bench detectors` measures them.
//!
//! The stored state has limits for projects, targets and builds. This module reads no clock: the caller passes the limit of age.

pub mod creep;
pub mod cusum;
pub mod exact;
pub mod level;
pub mod modes;
pub mod noisy;
mod project;
mod rank_sum;
#[cfg(test)]
mod sample;
mod size;
mod statistics;
pub mod step;
pub mod window;

use crate::finished::FinishedBuild;
use crate::history::{Reason, SettingGroup};

pub use project::Projects;
pub use size::{Budget, SizeChange, Sizes};

/// Largest number of projects in the state.
pub const PROJECTS: usize = 200;
/// Largest number of targets in the state.
pub const TARGETS: usize = 200;

/// For each kind of settings, the number that differ between the recent builds of a project.
pub type Drift = [(SettingGroup, u64); SettingGroup::ALL.len()];

/// The result of the comparison of one build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Reason for the cache misses. `None` if the build compiled no package, or was not compared.
    pub miss: Option<Reason>,
    /// Drift of the project, including this build. `None` if unknown.
    pub drift: Option<Drift>,
    /// The size change of each output; `None` without an earlier output to compare with.
    pub sizes: Vec<Option<SizeChange>>,
}

/// Compares a build with earlier ones, and adds it to the state. A single run passes no `projects`, because it has no earlier builds.
pub fn judge(
    build: FinishedBuild<'_>,
    projects: Option<&mut Projects>,
    sizes: &mut Sizes,
) -> Judgement {
    let (miss, drift) = projects.map_or((None, None), |it| it.judge(build));
    Judgement {
        miss,
        drift,
        sizes: sizes.judge(build),
    }
}
