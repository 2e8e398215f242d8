//! The index entry by which a build is found, filtered and compared. The build itself is stored beside it, packed.
//!
//! Texts are cut at a length that real ones do not reach, and bytes that no database stores are removed. The packed build contains the
//! whole texts. Everything here was redacted before it entered the trace.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Baseline, BuildId, part, unix_ns};
use crate::byte_string::ByteString;
use crate::event::Status;
use crate::model::{Anomaly, Build, FailureClass, Installed, Output, State, Trace};
use crate::origin::{Checkout, Ci};

/// Most bytes of a text that are kept.
const TEXT: usize = 4096;
/// Most outputs that are kept; the packed build has all.
const TARGETS: usize = 1000;

/// The origin of a build: version control and continuous integration. All fields are absent if no source names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildContext {
    pub repository: Option<String>,
    pub branch: Option<String>,
    pub base_branch: Option<String>,
    /// Number of the pull or merge request.
    pub change: Option<String>,
    pub revision: Option<String>,
    /// `github`, `gitlab`.
    pub ci_system: Option<String>,
    pub ci_pipeline: Option<String>,
    pub ci_job: Option<String>,
    pub ci_run: Option<String>,
    pub ci_attempt: Option<String>,
    pub ci_url: Option<String>,
    pub ci_runner: Option<String>,
    pub host: Option<String>,
    pub container: Option<String>,
    pub pod_uid: Option<String>,
}

impl BuildContext {
    /// From the environment and the cgroup; missing facts come from the checkout.
    fn of(build: &Build) -> Self {
        let place = build.place.as_ref();
        let ci = build.ci.as_ref().map(Self::of_ci).unwrap_or_default();
        let checkout = build.checkout.as_ref();
        let or = |value: Option<String>, it: fn(&Checkout) -> &Option<String>| {
            value.or_else(|| checkout.and_then(|checkout| it(checkout).as_deref().map(text)))
        };
        Self {
            repository: or(ci.repository, |it| &it.repository),
            branch: or(ci.branch, |it| &it.branch),
            revision: or(ci.revision, |it| &it.revision),
            container: place.and_then(|it| it.container.as_deref().map(text)),
            pod_uid: place.and_then(|it| it.pod_uid.as_deref().map(text)),
            ..ci
        }
    }

    fn of_ci(ci: &Ci) -> Self {
        let Ci {
            system,
            repository,
            branch,
            base_branch,
            change,
            revision,
            pipeline,
            job,
            run,
            attempt,
            url,
            runner,
        } = ci;
        let of = |it: &Option<String>| it.as_deref().map(text);
        Self {
            repository: of(repository),
            branch: of(branch),
            base_branch: of(base_branch),
            change: of(change),
            revision: of(revision),
            ci_system: Some(text(system)),
            ci_pipeline: of(pipeline),
            ci_job: of(job),
            ci_run: of(run),
            ci_attempt: of(attempt),
            ci_url: of(url),
            ci_runner: of(runner),
            ..Self::default()
        }
    }
}

/// A build in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    pub id: BuildId,
    /// The build that contains this one.
    pub parent: Option<BuildId>,
    pub state: State,
    /// Absent if its exit was not seen.
    pub status: Option<Status>,
    pub failure: Option<FailureClass>,
    /// The package whose tool failed first.
    pub failed_package: Option<String>,
    /// Path of the main module.
    pub project: Option<String>,
    /// `build`, `test`.
    pub command: String,
    /// The whole command line, words separated by blanks.
    pub command_line: String,
    pub dir: Option<String>,
    /// Nanoseconds since 1970.
    pub started_ns: i64,
    pub ended_ns: Option<i64>,
    pub go_version: Option<String>,
    pub goroot: Option<String>,
    pub goos: Option<String>,
    pub goarch: Option<String>,
    /// The value in force, whatever its source.
    pub goflags: String,
    /// `go env` as the tools received it.
    pub settings: BTreeMap<String, String>,
    pub packages_compiled: u32,
    pub packages_failed: u32,
    /// Absent if it was not seen.
    pub packages_cached: Option<u32>,
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    /// `None`: unknown for all processes.
    pub max_rss_bytes: Option<u64>,
    /// Records that the kernel lost while the build ran.
    pub lost: u64,
    /// Number of gaps in the known facts. Zero: the build is complete.
    pub anomalies: u64,
    pub context: BuildContext,
    pub targets: Vec<Target>,
}

/// A requested output of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    pub path: String,
    /// Import path of the main package.
    pub package: Option<String>,
    pub how: Installed,
    /// Absent, like the following fields, if the file was not read.
    pub size: Option<u64>,
    pub sha256: Option<String>,
    pub go_version: Option<String>,
    pub module: Option<String>,
    pub module_version: Option<String>,
    /// Identifies the outputs that it may be compared with.
    pub baseline: Option<Baseline>,
}

impl Entry {
    /// The entry of a build of this trace.
    pub fn of(trace: &Trace, build: &Build) -> Self {
        let failure = build.failure.as_ref();
        let argv: Vec<_> = build.command.argv.iter().map(ByteString::to_str).collect();
        let settings = build.env.iter();
        Self {
            id: BuildId::of(trace, build.process),
            parent: part::parent(trace, build),
            state: State::of(build),
            status: build.status,
            failure: FailureClass::of(build),
            failed_package: failure.and_then(|it| bytes(it.package.as_ref())),
            project: build.module.as_deref().map(text),
            command: text(&build.command.name),
            command_line: text(&argv.join(" ")),
            dir: bytes(build.dir.as_ref()),
            started_ns: unix_ns(trace, build.start),
            ended_ns: build.end.map(|it| unix_ns(trace, it)),
            go_version: build.toolchain.version.as_deref().map(text),
            goroot: bytes(build.toolchain.goroot.as_ref()),
            goos: build.toolchain.goos.as_deref().map(text),
            goarch: build.toolchain.goarch.as_deref().map(text),
            goflags: text(&build.goflags.value.to_str()),
            settings: settings
                .map(|(name, value)| (text(name), text(&value.to_str())))
                .collect(),
            packages_compiled: build.packages.compiled,
            packages_failed: build.packages.failed,
            packages_cached: build.packages.cached,
            cpu_user_ns: build.usage.user_ns,
            cpu_system_ns: build.usage.system_ns,
            max_rss_bytes: build.usage.max_rss_bytes,
            lost: lost(build),
            anomalies: u64::try_from(build.anomalies.len()).unwrap_or(u64::MAX),
            context: BuildContext {
                host: trace.host.as_deref().map(text),
                ..BuildContext::of(build)
            },
            targets: build
                .outputs
                .iter()
                .take(TARGETS)
                .map(|it| Target::of(build, it))
                .collect(),
        }
    }

    /// The entry while the build still runs.
    #[must_use]
    pub fn running(self) -> Self {
        Self {
            state: State::Running,
            status: None,
            ended_ns: None,
            // For a running build, an unseen end is not a gap.
            anomalies: 0,
            ..self
        }
    }

    /// The built commit. Two builds of one commit make no growth. Absent if it is unknown; some systems set a name such as `HEAD`.
    pub fn commit(&self) -> Option<&str> {
        self.context.revision.as_deref().and_then(commit)
    }

    /// The time from start to end, if the end was seen.
    pub fn wall_ns(&self) -> Option<u64> {
        u64::try_from(self.ended_ns?.saturating_sub(self.started_ns)).ok()
    }
}

/// The revision, if it is the hash of a commit.
pub fn commit(revision: &str) -> Option<&str> {
    let is_hash = revision.len() >= 40 && revision.bytes().all(|it| it.is_ascii_hexdigit());
    is_hash.then_some(revision)
}

impl Target {
    fn of(build: &Build, output: &Output) -> Self {
        let artifact = output.artifact.as_ref();
        let of_artifact = |it: fn(&crate::event::Artifact) -> &Option<String>| {
            artifact.and_then(|artifact| it(artifact).as_deref().map(text))
        };
        let baseline = Baseline::of(build, output);
        Self {
            path: text(&output.path.to_str()),
            package: output.package.as_ref().map(|it| text(&it.to_str())),
            how: output.how,
            size: artifact.map(|it| it.size),
            sha256: artifact.map(|it| text(&it.sha256)),
            go_version: of_artifact(|it| &it.go_version),
            module: of_artifact(|it| &it.main_module),
            module_version: of_artifact(|it| &it.main_module_version),
            baseline,
        }
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

fn lost(build: &Build) -> u64 {
    let lost = build.anomalies.iter().filter_map(Anomaly::n_lost);
    lost.fold(0, u64::saturating_add)
}

fn bytes(it: Option<&ByteString>) -> Option<String> {
    it.map(|it| text(&it.to_str()))
}

/// Cut between characters; a NUL, which `PostgreSQL` rejects in text, becomes U+FFFD.
fn text(it: &str) -> String {
    let mut end = it.len().min(TEXT);
    while !it.is_char_boundary(end) {
        end -= 1;
    }
    it.get(..end).unwrap_or_default().replace('\0', "\u{fffd}")
}
