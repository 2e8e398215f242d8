//! What is new about a build, compared with those before it: why packages were compiled, what of the environment drifts, and how the
//! sizes of its targets changed.
//!
//! What is remembered is bounded in projects, targets and builds. No clock: the caller says what is too old.

mod project;
mod size;

use crate::finished::FinishedBuild;
use crate::history::{Reason, SettingGroup};

pub use project::Projects;
pub use size::{Budget, SizeChange, Sizes};

/// Projects that are remembered.
pub const PROJECTS: usize = 200;
/// Targets that are remembered.
pub const TARGETS: usize = 200;

/// Settings of a kind that are not the same in the last builds of a project, for each kind.
pub type Drift = [(SettingGroup, u64); SettingGroup::ALL.len()];

/// What was found out about one build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// What was new about it. Absent if it compiled no package, or was compared with nothing.
    pub miss: Option<Reason>,
    /// Of its project, with this build. Absent if nothing is known.
    pub drift: Option<Drift>,
    /// For each of its outputs; absent where there is none to compare it with.
    pub sizes: Vec<Option<SizeChange>>,
}

/// Compares a build with those before it, and remembers it. A single run has no other builds of its projects to compare with.
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
