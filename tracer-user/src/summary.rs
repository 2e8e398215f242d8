//! The builds of one pipeline job, requested from the agent on this machine.
//!
//! The user of a job may connect to the agent but not read its history, so this uses the agent's HTTP page and not the file. This module
//! selects the job's builds from the agent's list, and [`markdown`] renders them.

mod advice;
pub mod markdown;

pub use self::advice::JobAdvice;

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::agent::local::LocalAgent;

/// The agent's maximum number of builds in one response.
const MAX_BUILDS: usize = 1000;
/// Maximum size of a response; that many builds take less than a tenth of it.
const ANSWER_LIMIT: usize = 64 << 20;

/// Identifies a job. An absent field matches any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiJob {
    pub run: String,
    pub attempt: Option<String>,
    pub job: Option<String>,
    pub runner: Option<String>,
}

/// A build from the agent's list, with the displayed fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ListedBuild {
    pub id: String,
    pub state: String,
    /// Failure class.
    pub failure: Option<String>,
    pub command_line: Option<String>,
    pub project: Option<String>,
    pub go_version: Option<String>,
    pub started_ns: u64,
    pub ended_ns: Option<u64>,
    #[serde(default)]
    pub packages_compiled: u64,
    /// Absent if unknown, as for a running build.
    pub packages_cached: Option<u64>,
    #[serde(default)]
    pub anomalies: u64,
    #[serde(default)]
    pub targets: Vec<Target>,
    #[serde(default)]
    context: Context,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Target {
    pub path: Option<String>,
    pub size: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Context {
    #[serde(rename = "ci_run")]
    run: Option<String>,
    #[serde(rename = "ci_attempt")]
    attempt: Option<String>,
    #[serde(rename = "ci_job")]
    job: Option<String>,
    #[serde(rename = "ci_runner")]
    runner: Option<String>,
}

#[derive(Debug, Deserialize)]
struct BuildList {
    builds: Vec<ListedBuild>,
}

/// The request to the agent failed.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the pages of the agent at {url} (is it running? see `systemctl status gotrace`)"
)]
pub struct RequestError {
    url: String,
    source: io::Error,
}

impl CiJob {
    /// Returns the builds of the job, in order of their start. Fails after `timeout`.
    pub fn builds(
        &self,
        agent: &LocalAgent,
        timeout: Duration,
    ) -> Result<Vec<ListedBuild>, RequestError> {
        let path = format!("/api/v1/builds?limit={MAX_BUILDS}");
        let listed: BuildList = request(agent, &path, timeout)?;
        Ok(self.pick(listed.builds))
    }

    /// Selects the builds of the job.
    fn pick(&self, builds: Vec<ListedBuild>) -> Vec<ListedBuild> {
        let mut picked: Vec<ListedBuild> = builds
            .into_iter()
            .filter(|it| self.is_of(&it.context))
            .collect();
        picked.sort_by(|a, b| (a.started_ns, &a.id).cmp(&(b.started_ns, &b.id)));
        picked
    }

    fn is_of(&self, context: &Context) -> bool {
        let Self {
            run,
            attempt,
            job,
            runner,
        } = self;
        context.run.as_ref() == Some(run)
            && (attempt.is_none() || *attempt == context.attempt)
            && (job.is_none() || *job == context.job)
            && (runner.is_none() || *runner == context.runner)
    }
}

/// Requests a page of JSON.
fn request<T: DeserializeOwned>(
    agent: &LocalAgent,
    path: &str,
    timeout: Duration,
) -> Result<T, RequestError> {
    let answer = || {
        let page = agent.get(path, timeout, ANSWER_LIMIT)?;
        match page.status {
            200 => Ok(serde_json::from_slice(&page.body)?),
            401 => Err(io::Error::other("it requires a token")),
            status => Err(io::Error::other(format!("status {status}"))),
        }
    };
    answer().map_err(|source| RequestError {
        url: agent.url(""),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(id: &str, started_ns: u64, context: [Option<&str>; 3], attempt: u64) -> ListedBuild {
        let [run, job, runner] = context.map(|it| it.map(str::to_owned));
        ListedBuild {
            id: id.to_owned(),
            started_ns,
            context: Context {
                run,
                attempt: Some(attempt.to_string()),
                job,
                runner,
            },
            ..ListedBuild::default()
        }
    }

    #[test]
    fn a_job_is_matched_by_run_attempt_name_and_runner() {
        let builds = vec![
            built("later", 9, [Some("7"), Some("test"), Some("r1")], 2),
            built("first", 1, [Some("7"), Some("test"), Some("r1")], 2),
            built("other runner", 2, [Some("7"), Some("test"), Some("r2")], 2),
            built("other job", 3, [Some("7"), Some("lint"), Some("r1")], 2),
            built("other attempt", 4, [Some("7"), Some("test"), Some("r1")], 1),
            built("other run", 5, [Some("8"), Some("test"), Some("r1")], 2),
            built("nobody's", 6, [None, None, None], 2),
        ];
        let ids = |job: &CiJob| -> Vec<String> {
            let picked = job.pick(builds.clone());
            picked.into_iter().map(|it| it.id).collect()
        };
        let run = CiJob {
            run: "7".to_owned(),
            ..CiJob::default()
        };
        assert_eq!(ids(&run).len(), 5);
        let job = CiJob {
            attempt: Some("2".to_owned()),
            job: Some("test".to_owned()),
            runner: Some("r1".to_owned()),
            ..run
        };
        assert_eq!(ids(&job), ["first", "later"]);
    }
}
