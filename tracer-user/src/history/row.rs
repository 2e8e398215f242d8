//! Entries as rows and rows as entries. The only module that knows the columns of `build` and `target`.

use std::collections::BTreeMap;

use tracer_core::event::Status;
use tracer_core::history::{BuildContext, BuildId, Entry, Target};
use tracer_core::model::State;

use super::cell::{Cell, Cells};
use super::error::Why;

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

/// `bytes`: of all that is stored beside the row itself.
pub(super) fn build_values(entry: &Entry, bytes: usize) -> Result<[Cell; BUILD.len()], Why> {
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
) -> Result<[Cell; TARGET.len()], Why> {
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

/// A row of [`BUILD`] without its targets.
pub(super) fn entry(cells: &mut Cells) -> Result<Entry, Why> {
    let id = cells.id()?.ok_or(Why::Row("a build without an id"))?;
    let parent = cells.id()?;
    let state: String = cells.next()?;
    let state = State::ALL.into_iter().find(|it| it.name() == state);
    let (code, signal): (Option<u8>, Option<u8>) = (cells.next()?, cells.next()?);
    let status = code.map(Status::Code).or(signal.map(Status::Signal));
    Ok(Entry {
        id,
        parent,
        state: state.ok_or(Why::Row("an unknown state"))?,
        status,
        failure: cells.named()?,
        failed_package: cells.next()?,
        project: cells.next()?,
        command: cells.next()?,
        command_line: cells.next()?,
        dir: cells.next()?,
        started_ns: cells.next()?,
        ended_ns: cells.next()?,
        go_version: cells.next()?,
        goroot: cells.next()?,
        goos: cells.next()?,
        goarch: cells.next()?,
        goflags: cells.next()?,
        settings: serde_json::from_str::<BTreeMap<String, String>>(&cells.next::<String>()?)?,
        packages_compiled: cells.next()?,
        packages_failed: cells.next()?,
        packages_cached: cells.next()?,
        cpu_user_ns: cells.count()?,
        cpu_system_ns: cells.count()?,
        max_rss_bytes: Some(cells.count()?).filter(|it| *it > 0),
        lost: cells.count()?,
        anomalies: cells.count()?,
        context: BuildContext {
            repository: cells.next()?,
            branch: cells.next()?,
            base_branch: cells.next()?,
            change: cells.next()?,
            revision: cells.next()?,
            ci_system: cells.next()?,
            ci_pipeline: cells.next()?,
            ci_job: cells.next()?,
            ci_run: cells.next()?,
            ci_attempt: cells.next()?,
            ci_url: cells.next()?,
            ci_runner: cells.next()?,
            host: cells.next()?,
            container: cells.next()?,
            pod_uid: cells.next()?,
        },
        targets: Vec::new(),
    })
}

/// A row of [`TARGET`], after the id of its build.
pub(super) fn target(cells: &mut Cells) -> Result<(String, Target), Why> {
    let build: String = cells.next()?;
    let _ordinal: i64 = cells.next()?;
    let path = cells.next()?;
    let _name: String = cells.next()?;
    let package = cells.next()?;
    let how = cells
        .named()?
        .ok_or(Why::Row("a target of unknown origin"))?;
    let size: Option<i64> = cells.next()?;
    let target = Target {
        path,
        package,
        how,
        size: size.and_then(|it| u64::try_from(it).ok()),
        sha256: cells.next()?,
        go_version: cells.next()?,
        module: cells.next()?,
        module_version: cells.next()?,
        baseline: {
            let _id: Option<String> = cells.next()?;
            let baseline: Option<String> = cells.next()?;
            baseline.map(|it| serde_json::from_str(&it)).transpose()?
        },
    };
    Ok((build, target))
}

impl Cells {
    fn id(&mut self) -> Result<Option<BuildId>, Why> {
        let text: Option<String> = self.next()?;
        Ok(text.map(|it| it.parse()).transpose()?)
    }

    /// A value of an enum, by its name in JSON.
    fn named<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, Why> {
        let text: Option<String> = self.next()?;
        Ok(text
            .map(|it| serde_json::from_value(it.into()))
            .transpose()?)
    }
}

/// A value of an enum as JSON has it, without the quotes.
fn name<T: serde::Serialize>(value: T) -> Result<String, Why> {
    let value = serde_json::to_value(value)?;
    let name = value.as_str().map(ToOwned::to_owned);
    name.ok_or(Why::Row("an enum with fields"))
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
