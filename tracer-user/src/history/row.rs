//! Conversion between entries and rows. Only this module contains the columns of `build` and `target`.

use std::collections::BTreeMap;

use tracer_core::event::Status;
use tracer_core::history::{BuildContext, BuildId, Entry, Target};
use tracer_core::model::State;

use super::error::Cause;
use super::value::{RowValues, Value};

/// Columns of `build`, in the order of [`build_values`] and [`entry`].
pub(super) const BUILD: [&str; 43] = [
    "id",
    "parent_id",
    "state",
    "exit_code",
    "exit_signal",
    "failure",
    "failed_package",
    "project",
    "command",
    "command_line",
    "dir",
    "started_ns",
    "ended_ns",
    "go_version",
    "goroot",
    "goos",
    "goarch",
    "goflags",
    "settings",
    "packages_compiled",
    "packages_failed",
    "packages_cached",
    "cpu_user_ns",
    "cpu_system_ns",
    "max_rss_bytes",
    "lost",
    "anomalies",
    "repository",
    "branch",
    "base_branch",
    "change",
    "revision",
    "ci_system",
    "ci_pipeline",
    "ci_job",
    "ci_run",
    "ci_attempt",
    "ci_url",
    "ci_runner",
    "host",
    "container",
    "pod_uid",
    "stored_bytes",
];

/// Columns of `target`, in the order of [`target_values`] and [`target`].
pub(super) const TARGET: [&str; 13] = [
    "build_id",
    "ordinal",
    "path",
    "name",
    "package",
    "how",
    "size",
    "sha256",
    "go_version",
    "module",
    "module_version",
    "baseline_id",
    "baseline",
];

/// The row of a build. `bytes` is the size of its other rows.
pub(super) fn build_values(entry: &Entry, bytes: usize) -> Result<[Value; BUILD.len()], Cause> {
    let settings = serde_json::to_string(&entry.settings)?;
    let (code, signal) = match entry.status {
        Some(Status::Code(code)) => (Some(i64::from(code)), None),
        Some(Status::Signal(signal)) => (None, Some(i64::from(signal))),
        None => (None, None),
    };
    let BuildContext {
        repository,
        branch,
        base_branch,
        change,
        revision,
        ci_system,
        ci_pipeline,
        ci_job,
        ci_run,
        ci_attempt,
        ci_url,
        ci_runner,
        host,
        container,
        pod_uid,
    } = &entry.context;
    let bytes = bytes + settings.len() + entry.command_line.len();
    Ok([
        entry.id.as_str().to_owned().into(),
        entry
            .parent
            .as_ref()
            .map(|it| it.as_str().to_owned())
            .into(),
        entry.state.name().to_owned().into(),
        code.into(),
        signal.into(),
        entry.failure.map(name).transpose()?.into(),
        entry.failed_package.clone().into(),
        entry.project.clone().into(),
        entry.command.clone().into(),
        entry.command_line.clone().into(),
        entry.dir.clone().into(),
        entry.started_ns.into(),
        entry.ended_ns.into(),
        entry.go_version.clone().into(),
        entry.goroot.clone().into(),
        entry.goos.clone().into(),
        entry.goarch.clone().into(),
        entry.goflags.clone().into(),
        settings.into(),
        entry.packages_compiled.into(),
        entry.packages_failed.into(),
        entry.packages_cached.map(i64::from).into(),
        whole(entry.cpu_user_ns).into(),
        whole(entry.cpu_system_ns).into(),
        whole(entry.max_rss_bytes.unwrap_or(0)).into(),
        whole(entry.lost).into(),
        whole(entry.anomalies).into(),
        repository.clone().into(),
        branch.clone().into(),
        base_branch.clone().into(),
        change.clone().into(),
        revision.clone().into(),
        ci_system.clone().into(),
        ci_pipeline.clone().into(),
        ci_job.clone().into(),
        ci_run.clone().into(),
        ci_attempt.clone().into(),
        ci_url.clone().into(),
        ci_runner.clone().into(),
        host.clone().into(),
        container.clone().into(),
        pod_uid.clone().into(),
        i64::try_from(bytes).unwrap_or(i64::MAX).into(),
    ])
}

pub(super) fn target_values(
    entry: &Entry,
    ordinal: i64,
    target: &Target,
) -> Result<[Value; TARGET.len()], Cause> {
    let baseline = target.baseline.as_ref();
    Ok([
        entry.id.as_str().to_owned().into(),
        ordinal.into(),
        target.path.clone().into(),
        target.name().to_owned().into(),
        target.package.clone().into(),
        name(target.how)?.into(),
        target.size.map(whole).into(),
        target.sha256.clone().into(),
        target.go_version.clone().into(),
        target.module.clone().into(),
        target.module_version.clone().into(),
        baseline.map(|it| it.id().as_str().to_owned()).into(),
        baseline.map(serde_json::to_string).transpose()?.into(),
    ])
}

/// The entry of a row of [`BUILD`], without its targets.
pub(super) fn entry(values: &mut RowValues) -> Result<Entry, Cause> {
    let id = values.id()?.ok_or(Cause::Row("a build without an id"))?;
    let parent = values.id()?;
    let state: String = values.next()?;
    let state = State::ALL.into_iter().find(|it| it.name() == state);
    let (code, signal): (Option<u8>, Option<u8>) = (values.next()?, values.next()?);
    let status = code.map(Status::Code).or(signal.map(Status::Signal));
    Ok(Entry {
        id,
        parent,
        state: state.ok_or(Cause::Row("an unknown state"))?,
        status,
        failure: values.named()?,
        failed_package: values.next()?,
        project: values.next()?,
        command: values.next()?,
        command_line: values.next()?,
        dir: values.next()?,
        started_ns: values.next()?,
        ended_ns: values.next()?,
        go_version: values.next()?,
        goroot: values.next()?,
        goos: values.next()?,
        goarch: values.next()?,
        goflags: values.next()?,
        settings: serde_json::from_str::<BTreeMap<String, String>>(&values.next::<String>()?)?,
        packages_compiled: values.next()?,
        packages_failed: values.next()?,
        packages_cached: values.next()?,
        cpu_user_ns: values.count()?,
        cpu_system_ns: values.count()?,
        max_rss_bytes: Some(values.count()?).filter(|it| *it > 0),
        lost: values.count()?,
        anomalies: values.count()?,
        context: BuildContext {
            repository: values.next()?,
            branch: values.next()?,
            base_branch: values.next()?,
            change: values.next()?,
            revision: values.next()?,
            ci_system: values.next()?,
            ci_pipeline: values.next()?,
            ci_job: values.next()?,
            ci_run: values.next()?,
            ci_attempt: values.next()?,
            ci_url: values.next()?,
            ci_runner: values.next()?,
            host: values.next()?,
            container: values.next()?,
            pod_uid: values.next()?,
        },
        targets: Vec::new(),
    })
}

/// The build ID and the target of a row of [`TARGET`].
pub(super) fn target(values: &mut RowValues) -> Result<(String, Target), Cause> {
    let build: String = values.next()?;
    let _ordinal: i64 = values.next()?;
    let path = values.next()?;
    let _name: String = values.next()?;
    let package = values.next()?;
    let how = values
        .named()?
        .ok_or(Cause::Row("a target of unknown origin"))?;
    let size: Option<i64> = values.next()?;
    let target = Target {
        path,
        package,
        how,
        size: size.and_then(|it| u64::try_from(it).ok()),
        sha256: values.next()?,
        go_version: values.next()?,
        module: values.next()?,
        module_version: values.next()?,
        baseline: {
            let _id: Option<String> = values.next()?;
            let baseline: Option<String> = values.next()?;
            baseline.map(|it| serde_json::from_str(&it)).transpose()?
        },
    };
    Ok((build, target))
}

impl RowValues {
    fn id(&mut self) -> Result<Option<BuildId>, Cause> {
        let text: Option<String> = self.next()?;
        Ok(text.map(|it| it.parse()).transpose()?)
    }

    /// A variant of an enum, by its name in JSON.
    fn named<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, Cause> {
        let text: Option<String> = self.next()?;
        Ok(text
            .map(|it| serde_json::from_value(it.into()))
            .transpose()?)
    }
}

/// The name of a variant in JSON, without quotes.
fn name<T: serde::Serialize>(value: T) -> Result<String, Cause> {
    let value = serde_json::to_value(value)?;
    let name = value.as_str().map(ToOwned::to_owned);
    name.ok_or(Cause::Row("an enum with fields"))
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
