//! Advice over the last builds of a job's projects, requested from the agent on this machine.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tracer_core::advise::{Advice, AdviceRow};

use super::{ListedBuild, RequestError, request};
use crate::agent::local::LocalAgent;

/// The causes of repeated work in the projects of a job, dearest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobAdvice {
    pub rows: Vec<AdviceRow>,
}

#[derive(Debug, Deserialize)]
struct AdviceDocument {
    advice: Advice,
}

impl JobAdvice {
    /// Requests the advice of the last seven days. Fails after `timeout`.
    pub fn request(
        builds: &[ListedBuild],
        agent: &LocalAgent,
        timeout: Duration,
    ) -> Result<Self, RequestError> {
        if builds.is_empty() {
            return Ok(Self::default());
        }
        let document: AdviceDocument = request(agent, "/api/v1/advice", timeout)?;
        Ok(Self::of(document.advice, builds))
    }

    /// The rows of the projects of these builds.
    fn of(advice: Advice, builds: &[ListedBuild]) -> Self {
        let projects: BTreeSet<Option<&String>> =
            builds.iter().map(|it| it.project.as_ref()).collect();
        let mut rows = advice.rows;
        rows.retain(|it| it.project.is_some() && projects.contains(&it.project.as_ref()));
        Self { rows }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tracer_core::advise::{BuildCauses, Period, StoredCause, advise};
    use tracer_core::explain::RootCause;

    use super::*;

    pub(in crate::summary) fn row(project: Option<&str>) -> AdviceRow {
        let build = BuildCauses {
            build: "01a22d14-4cf6-703a-8022-c9a4e2135784".parse().unwrap(),
            project: project.map(str::to_owned),
            host: None,
            commit: None,
            causes: vec![StoredCause {
                cause: RootCause::Forced,
                n_actions: 216,
                cpu_ns: 59_000_000_000,
            }],
        };
        advise(Period::default(), &[build], Vec::new())
            .rows
            .remove(0)
    }

    #[test]
    fn only_the_projects_of_the_job_have_advice() {
        let advice = Advice {
            rows: vec![
                row(Some("example.com/other")),
                row(None),
                row(Some("example.com/api")),
            ],
            ..Advice::default()
        };
        let build = ListedBuild {
            project: Some("example.com/api".to_owned()),
            ..ListedBuild::default()
        };
        let without_project = ListedBuild::default();
        let found = JobAdvice::of(advice, &[build, without_project]);
        assert_eq!(found.rows, [row(Some("example.com/api"))]);
    }
}
