//! The results of a trace that are pushed: the targets of successful builds, and failed builds.
//!
//! Programs that were only linked to be run at once (`go run`, test binaries) are not targets.

use sha2::{Digest as _, Sha256};
use tracer_core::finished::FinishedTrace;
use tracer_core::hex;
use tracer_core::model::{Build, Installed, State};

use super::group::{LastBuild, Platform};
use crate::render::metrics::family::INFO;
use crate::render::metrics::guard::guarded;
use crate::render::metrics::{fold, label};

/// The result of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BuildResult {
    Made {
        target: String,
        platform: Platform,
    },
    /// A failed build. Targets of the last successful build with the same invocation, and platform if known, have failed.
    Failed {
        asked: String,
        platform: Option<[String; 2]>,
        last: LastBuild,
    },
}

pub(super) fn of(finished: &FinishedTrace) -> Vec<BuildResult> {
    let mut all = Vec::new();
    for finished in finished.builds() {
        let build = finished.build;
        let is_failed = finished.entry.state == State::Failed;
        let last = LastBuild {
            ended_ns: finished.ended_ns(),
            wall_ns: finished.report.wall_ns,
            is_success: build.status.map(|_| !is_failed),
        };
        let n_before = all.len();
        for made in fold::target_outputs(build).filter(|it| is_kept(it.how)) {
            let [_, target, ..] = made.key;
            let labels = INFO.labels.iter().zip(made.info);
            let platform = Platform {
                labels: labels
                    .map(|(name, value)| ((*name).to_owned(), guarded(value)))
                    .collect(),
                size: made.artifact.map(|it| it.size),
                built_ns: last.ended_ns,
                last,
                asked: asked(build),
            };
            // The label of the group must equal that of its series.
            all.push(BuildResult::Made {
                target: guarded(target),
                platform,
            });
        }
        if is_failed && all.len() == n_before {
            let (goos, goarch, _) = label::platform(build);
            let is_known = goos != label::UNKNOWN && goarch != label::UNKNOWN;
            all.push(BuildResult::Failed {
                asked: asked(build),
                platform: is_known.then(|| [goos, goarch].map(guarded)),
                last,
            });
        }
    }
    all
}

fn is_kept(how: Installed) -> bool {
    match how {
        Installed::Renamed
        | Installed::Copied
        | Installed::UpToDate
        | Installed::Direct
        | Installed::Announced => true,
        Installed::Temporary | Installed::FromCache => false,
    }
}

/// Directory and arguments of the `go` command.
fn asked(build: &Build) -> String {
    let mut digest = Sha256::new();
    for part in build.dir.iter().chain(&build.command.argv) {
        let part = part.as_bytes();
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    hex::hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample;

    #[test]
    fn successes_are_identified_by_target_and_failures_by_invocation() {
        let trace = sample::cold();
        let results = of(&FinishedTrace::of(trace.clone()));
        let Some(BuildResult::Made { target, platform }) = results.first() else {
            panic!("{results:?}")
        };
        assert_eq!(platform.labels.get("target"), Some(target));
        assert_eq!(platform.last.is_success, Some(true));
        let mut failed = trace.clone();
        for build in &mut failed.builds {
            build.outputs.clear();
            build.status = Some(tracer_core::event::Status::Code(1));
        }
        let results = of(&FinishedTrace::of(failed));
        let Some(BuildResult::Failed { asked, last, .. }) = results.first() else {
            panic!("{results:?}")
        };
        assert_eq!((asked, last.is_success), (&platform.asked, Some(false)));
    }

    #[test]
    fn programs_of_go_run_are_not_pushed() {
        let mut trace = sample::cold();
        let outputs = trace.builds.iter_mut().flat_map(|it| &mut it.outputs);
        for output in outputs {
            output.how = Installed::Temporary;
        }
        assert_eq!(of(&FinishedTrace::of(trace)), []);
    }
}
