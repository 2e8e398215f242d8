//! What one job of a pipeline built, asked of the agent on this machine.
//!
//! Whoever runs a job may connect to the agent but not read its history, so the page is asked and not the file. Builds are taken as
//! the agent tells them; which of them are the job's is decided here, and how they look in [`markdown`].

pub mod markdown;

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// The most that the agent tells at once.
const MAX_BUILDS: usize = 1000;
/// An answer of that many builds is less than a tenth of this.
const ANSWER_LIMIT: u64 = 64 << 20;

/// Names a job. What is absent may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiJob {
    pub run: String,
    pub attempt: Option<String>,
    pub job: Option<String>,
    pub runner: Option<String>,
}

/// A build as the agent tells it, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ListedBuild {
    pub id: String,
    pub state: String,
    /// Failure class.
    pub failure: Option<String>,
    pub command_line: Option<String>,
    pub go_version: Option<String>,
    pub started_ns: u64,
    pub ended_ns: Option<u64>,
    #[serde(default)]
    pub packages_compiled: u64,
    /// Absent where nobody could tell, as for a build under way.
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

/// The agent did not tell.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot ask the agent at http://{address} for its builds; `systemctl status gotrace` says whether it runs"
)]
pub struct RequestError {
    address: SocketAddr,
    source: ureq::Error,
}

impl CiJob {
    /// Its builds, in order of their start; an error after `timeout` at the latest.
    pub fn builds(&self, address: SocketAddr, timeout: Duration) -> Result<Vec<ListedBuild>, RequestError> {
        let client: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .proxy(None)
            .max_redirects(0)
            .build()
            .into();
        let ask = || {
            let url = format!("http://{address}/api/v1/builds?limit={MAX_BUILDS}");
            let mut answer = client.get(url).call()?;
            let body = answer.body_mut().with_config().limit(ANSWER_LIMIT);
            body.read_to_vec()
        };
        let body = ask().map_err(|source| RequestError { address, source })?;
        let listed: BuildList = serde_json::from_slice(&body).map_err(|error| RequestError {
            address,
            source: ureq::Error::Other(error.into()),
        })?;
        Ok(self.pick(listed.builds))
    }

    /// Those of these that are the job's.
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
    fn a_jobs_builds_are_those_of_its_run_attempt_name_and_runner() {
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
