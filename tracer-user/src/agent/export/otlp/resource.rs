//! Resources: the agent and its machine, and the pipeline, repository and container of a build.
//!
//! Names are those of the OpenTelemetry semantic conventions (`cicd.*`, `vcs.*`, `container.*`, `k8s.*`), or else
//! `go.build.*`. `docs/otlp.md` contains the table.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tracer_core::model::Build;
use tracer_core::origin::{self, Ci, Runtime};

use super::attribute::Attributes;

/// The version of the conventions.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.40.0";

/// The machine, as of the start of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) service: String,
    pub(super) host: Option<String>,
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "gotrace".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The resource of the agent's own metrics and of sums over all builds.
pub(super) fn of_agent(machine: &Machine) -> Resource {
    let mut attributes = agent(machine);
    // Distinguishes the series of the machines of a fleet. The same machine keeps it after a restart.
    attributes.text_of("service.instance.id", machine.host.as_deref());
    resource(attributes)
}

/// The resource of a build.
pub(super) fn of_build(machine: &Machine, build: &Build) -> Resource {
    let mut attributes = agent(machine);
    if let Some(ci) = &build.ci {
        pipeline(&mut attributes, ci);
    }
    source(&mut attributes, build);
    if let Some(place) = &build.place {
        let origin::Place {
            container,
            runtime,
            pod_uid,
        } = place;
        attributes.text_of("container.id", container.as_deref());
        attributes.text_of("container.runtime.name", runtime.map(runtime_name));
        attributes.text_of("k8s.pod.uid", pod_uid.as_deref());
    }
    resource(attributes)
}

fn resource(attributes: Attributes) -> Resource {
    Resource {
        attributes: attributes.into_inner(),
        ..Resource::default()
    }
}

fn agent(machine: &Machine) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.text("service.name", &machine.service);
    attributes.text("service.version", env!("CARGO_PKG_VERSION"));
    attributes.text_of("host.name", machine.host.as_deref());
    attributes.text("host.arch", host_arch());
    attributes.text("os.type", "linux");
    attributes
}

fn pipeline(attributes: &mut Attributes, ci: &Ci) {
    let Ci {
        system,
        repository: _,
        branch: _,
        base_branch,
        change,
        revision: _,
        pipeline,
        job,
        run,
        attempt,
        url,
        runner,
    } = ci;
    attributes.text("go.build.ci.system", system);
    attributes.text_of("go.build.ci.job", job.as_deref());
    attributes.text_of("go.build.ci.attempt", attempt.as_deref());
    attributes.text_of("cicd.pipeline.name", pipeline.as_deref());
    attributes.text_of("cicd.pipeline.run.id", run.as_deref());
    attributes.text_of("cicd.pipeline.run.url.full", url.as_deref());
    attributes.text_of("cicd.worker.name", runner.as_deref());
    attributes.text_of("vcs.provider.name", provider(system));
    attributes.text_of("vcs.change.id", change.as_deref());
    attributes.text_of("vcs.ref.base.name", base_branch.as_deref());
    attributes.text_of("vcs.ref.base.type", base_branch.as_ref().map(|_| "branch"));
}

/// The repository and revision, from the pipeline or else from the checkout.
fn source(attributes: &mut Attributes, build: &Build) {
    let (ci, checkout) = (build.ci.as_ref(), build.checkout.as_ref());
    let or = |given: Option<&'_ Option<String>>, found: Option<&'_ Option<String>>| {
        let given = given.and_then(Option::as_deref);
        given
            .or_else(|| found.and_then(Option::as_deref))
            .map(str::to_owned)
    };
    let repository = or(
        ci.map(|it| &it.repository),
        checkout.map(|it| &it.repository),
    );
    let branch = or(ci.map(|it| &it.branch), checkout.map(|it| &it.branch));
    let revision = or(ci.map(|it| &it.revision), checkout.map(|it| &it.revision));
    if let Some(repository) = &repository {
        let run = ci.and_then(|it| it.url.as_deref());
        attributes.text_of("vcs.repository.url.full", address(repository, run));
        let (owner, name) = names(repository);
        attributes.text_of("vcs.repository.name", Some(name));
        attributes.text_of("vcs.owner.name", owner);
    }
    attributes.text_of("vcs.ref.head.name", branch.as_deref());
    attributes.text_of("vcs.ref.head.type", branch.as_ref().map(|_| "branch"));
    attributes.text_of("vcs.ref.head.revision", revision.as_deref());
}

/// Owner and name of `owner/name`, `https://host/owner/name.git` or `git@host:owner/name.git`.
fn names(repository: &str) -> (Option<&str>, &str) {
    let path = match repository.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, path)| path),
        None => repository
            .rsplit_once(':')
            .map_or(repository, |(_, path)| path),
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    match path.rsplit_once('/') {
        // A local directory has no owner.
        Some((owner, name)) => (Some(owner).filter(|_| !path.starts_with('/')), name),
        None => (None, path),
    }
}

/// The URL of the repository without `.git`, as the conventions require: its own, or the prefix of the run's URL that ends in the name
/// of the repository.
fn address<'a>(repository: &'a str, run: Option<&'a str>) -> Option<&'a str> {
    if repository.contains("://") || repository.contains('@') {
        let url = repository.trim_end_matches('/');
        return Some(url.strip_suffix(".git").unwrap_or(url));
    }
    let run = run?;
    let at = run.find(&format!("/{repository}/"))?;
    run.get(..at + 1 + repository.len())
}

/// The value of the conventions, which define four.
fn provider(system: &str) -> Option<&str> {
    let known = ["bitbucket", "gitea", "github", "gitlab"];
    known.into_iter().find(|it| *it == system)
}

fn runtime_name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Docker => "docker",
        Runtime::Containerd => "containerd",
        Runtime::Crio => "cri-o",
        Runtime::Podman => "podman",
    }
}

/// The value of the conventions.
fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_distinguish_the_agents_of_a_fleet() {
        let machine = Machine {
            service: "gotrace".to_owned(),
            host: Some("builder-7".to_owned()),
        };
        let resource = of_agent(&machine);
        let mut keys = resource.attributes.iter().map(|it| it.key.as_str());
        assert!(keys.any(|it| it == "service.instance.id"));
    }

    #[test]
    fn a_repository_has_a_name_and_an_owner() {
        for (repository, owner, name) in [
            ("acme/app", Some("acme"), "app"),
            ("https://github.com/acme/app.git", Some("acme"), "app"),
            (
                "https://gitlab.com/acme/group/app/",
                Some("acme/group"),
                "app",
            ),
            ("ssh://git@example.com:22/acme/app.git", Some("acme"), "app"),
            ("git@example.com:acme/app.git", Some("acme"), "app"),
            ("git@example.com:app", None, "app"),
            ("/srv/git/app.git", None, "app"),
            ("app", None, "app"),
            ("https://example.com", None, "example.com"),
        ] {
            assert_eq!(names(repository), (owner, name), "{repository}");
        }
    }

    #[test]
    fn the_address_is_the_repository_s_or_begins_the_run_s() {
        let run = Some("https://github.com/acme/app/actions/runs/1");
        let of = |repository, run| address(repository, run);
        assert_eq!(of("acme/app", run), Some("https://github.com/acme/app"));
        assert_eq!(of("acme/ap", run), None);
        assert_eq!(of("acme/app", None), None);
        assert_eq!(of("git@h:acme/app", run), Some("git@h:acme/app"));
        assert_eq!(of("git@h:acme/app.git", None), Some("git@h:acme/app"));
        let cloned = "https://example.com/acme/app.git/";
        assert_eq!(of(cloned, run), Some("https://example.com/acme/app"));
        let own = "https://example.com/acme/app";
        assert_eq!(of(own, run), Some(own));
    }
}
