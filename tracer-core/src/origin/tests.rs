use super::variable::VARIABLES;
use super::vendor::{Piece, VENDORS, ValueSource, Vendor};
use super::{Ci, Place, Runtime};
use crate::byte_string::ByteString;
use crate::environment;
use crate::redact;

const HASH: &str = "8f14e45fceea167a5a36dedd4bea2543e8f14e45";

/// The environment as the decoder returns it: allow-listed and redacted.
fn decoded(env: &[(&str, &[u8])]) -> Vec<(ByteString, ByteString)> {
    env.iter()
        .filter(|(name, _)| environment::is_allowed(name.as_bytes()))
        .map(|(name, value)| ((*name).into(), redact::variable(name.as_bytes(), value)))
        .collect()
}

fn of(lines: &str) -> Option<Ci> {
    let env: Vec<_> = lines
        .split_whitespace()
        .filter_map(|it| it.split_once('='))
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    Ci::of(&decoded(&env))
}

/// Facts in the order of the fields, `-` for an absent one.
fn check(lines: &str, expected: &str) {
    let ci = of(&lines.replace('§', HASH)).unwrap();
    let facts = [
        &Some(ci.system.clone()),
        &ci.repository,
        &ci.branch,
        &ci.base_branch,
        &ci.change,
        &ci.revision,
        &ci.pipeline,
        &ci.job,
        &ci.run,
        &ci.attempt,
        &ci.url,
        &ci.runner,
    ];
    let facts: Vec<_> = facts.map(|it| it.as_deref().unwrap_or("-")).to_vec();
    let expected = expected.replace('§', HASH);
    assert_eq!(facts, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn github_on_a_pull_request_and_on_a_tag() {
    check(
        "CI=true GITHUB_ACTIONS=true GITHUB_REPOSITORY=acme/app GITHUB_REF=refs/pull/12/merge GITHUB_HEAD_REF=fix/x
         GITHUB_BASE_REF=main GITHUB_SHA=§ GITHUB_WORKFLOW=build GITHUB_JOB=test GITHUB_RUN_ID=9876543210 GITHUB_RUN_ATTEMPT=2
         GITHUB_RUN_NUMBER=7 GITHUB_SERVER_URL=https://github.com RUNNER_NAME=runner-1 GITHUB_TOKEN=ghs_x",
        "github acme/app fix/x main 12 § build test 9876543210 2 https://github.com/acme/app/actions/runs/9876543210 runner-1",
    );
    check(
        "GITHUB_ACTIONS=true GITHUB_REPOSITORY=acme/app GITHUB_REF=refs/tags/v1 GITHUB_BASE_REF= GITHUB_SHA=§",
        "github acme/app - - - § - - - - - -",
    );
}

#[test]
fn gitea_is_not_mistaken_for_github() {
    check(
        "GITEA_ACTIONS=true GITHUB_ACTIONS=true GITHUB_REPOSITORY=acme/app GITHUB_REF=refs/heads/main GITHUB_SHA=§
         GITHUB_RUN_ID=811 GITHUB_RUN_NUMBER=7 GITHUB_SERVER_URL=https://git.example/",
        "gitea acme/app main - - § - - 811 - https://git.example/acme/app/actions/runs/7 -",
    );
}

#[test]
fn gitlab_on_a_merge_request_and_on_a_branch() {
    check(
        "GITLAB_CI=true CI=true CI_PROJECT_PATH=group/sub/app CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=fix
         CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main CI_MERGE_REQUEST_IID=34 CI_COMMIT_SHA=§ CI_JOB_NAME=build:amd64
         CI_PIPELINE_ID=555 CI_JOB_URL=https://gitlab.example/group/sub/app/-/jobs/1 CI_RUNNER_DESCRIPTION=shared-1
         CI_JOB_TOKEN=glcbt-x",
        "gitlab group/sub/app fix main 34 § - build:amd64 555 - https://gitlab.example/group/sub/app/-/jobs/1 shared-1",
    );
    check(
        "GITLAB_CI=true CI_COMMIT_BRANCH=main CI_PIPELINE_URL=https://u:p@gitlab.example/p/1?private_token=x#y",
        "gitlab - main - - - - - - - https://gitlab.example/p/1 -",
    );
}

#[test]
fn jenkins_multibranch_and_plain() {
    check(
        "JENKINS_URL=https://ci.example/ GIT_URL=https://tok:x@git.example/app.git CHANGE_BRANCH=fix BRANCH_NAME=PR-5
         CHANGE_TARGET=main CHANGE_ID=5 GIT_COMMIT=§ JOB_NAME=app/PR-5 STAGE_NAME=Build BUILD_NUMBER=3
         BUILD_URL=https://ci.example/job/app/3/ NODE_NAME=built-in",
        "jenkins https://git.example/app.git fix main 5 § app/PR-5 Build 3 - https://ci.example/job/app/3/ built-in",
    );
    check(
        "JENKINS_URL=https://ci.example/ GIT_BRANCH=origin/feature/a CHANGE_TARGET=main",
        "jenkins - feature/a - - - - - - - - -",
    );
}

#[test]
fn buildkite_says_false_for_no_change() {
    let env = "BUILDKITE=true BUILDKITE_REPO=git@github.com:acme/app.git BUILDKITE_BRANCH=main BUILDKITE_COMMIT=HEAD
         BUILDKITE_PIPELINE_SLUG=app BUILDKITE_LABEL=:go: BUILDKITE_BUILD_NUMBER=9 BUILDKITE_RETRY_COUNT=0
         BUILDKITE_BUILD_URL=https://buildkite.com/acme/app/builds/9 BUILDKITE_AGENT_NAME=a-1
         BUILDKITE_PULL_REQUEST_BASE_BRANCH=dev BUILDKITE_AGENT_ACCESS_TOKEN=x BUILDKITE_PULL_REQUEST=";
    let rest = "app :go: 9 0 https://buildkite.com/acme/app/builds/9 a-1";
    check(
        &format!("{env}false"),
        &format!("buildkite git@github.com:acme/app.git main - - - {rest}"),
    );
    check(
        &format!("{env}77"),
        &format!("buildkite git@github.com:acme/app.git main dev 77 - {rest}"),
    );
}

#[test]
fn circleci() {
    check(
        "CIRCLECI=true CIRCLE_PROJECT_USERNAME=acme CIRCLE_PROJECT_REPONAME=app CIRCLE_BRANCH=fix CIRCLE_SHA1=§
         CIRCLE_PULL_REQUEST=https://github.com/acme/app/pull/21 CIRCLE_JOB=build CIRCLE_WORKFLOW_ID=w-1 CIRCLE_BUILD_NUM=4
         CIRCLE_BUILD_URL=https://circleci.com/gh/acme/app/4 CIRCLE_OIDC_TOKEN=x",
        "circleci acme/app fix - 21 § - build w-1 - https://circleci.com/gh/acme/app/4 -",
    );
}

#[test]
fn drone_and_woodpecker_name_the_target_as_the_branch_of_a_change() {
    check(
        "DRONE=true CI=true DRONE_REPO=acme/app DRONE_BRANCH=main DRONE_SOURCE_BRANCH=fix DRONE_TARGET_BRANCH=main
         DRONE_PULL_REQUEST=8 DRONE_COMMIT_SHA=§ DRONE_STAGE_NAME=default DRONE_STEP_NAME=build DRONE_BUILD_NUMBER=42
         DRONE_BUILD_LINK=https://drone.example/acme/app/42 DRONE_STAGE_MACHINE=m1",
        "drone acme/app fix main 8 § default build 42 - https://drone.example/acme/app/42 m1",
    );
    check(
        "CI=woodpecker CI_REPO=acme/app CI_COMMIT_BRANCH=main CI_COMMIT_TARGET_BRANCH= CI_COMMIT_SHA=§ CI_WORKFLOW_NAME=w
         CI_STEP_NAME=build CI_PIPELINE_NUMBER=6 CI_PIPELINE_URL=https://wp.example/repos/1/pipeline/6 CI_MACHINE=m2",
        "woodpecker acme/app main - - § w build 6 - https://wp.example/repos/1/pipeline/6 m2",
    );
}

#[test]
fn teamcity_and_azure_and_bitbucket() {
    check(
        "TEAMCITY_VERSION=2024.12 TEAMCITY_PROJECT_NAME=App TEAMCITY_BUILDCONF_NAME=Build BUILD_NUMBER=1.2.3
         BUILD_VCS_NUMBER=§ BUILD_URL=https://tc.example/viewLog.html?buildId=5",
        "teamcity - - - - § App Build 1.2.3 - https://tc.example/viewLog.html -",
    );
    check(
        "TF_BUILD=True BUILD_REPOSITORY_NAME=app BUILD_SOURCEBRANCH=refs/pull/3/merge
         SYSTEM_PULLREQUEST_SOURCEBRANCH=refs/heads/fix SYSTEM_PULLREQUEST_TARGETBRANCH=main
         SYSTEM_PULLREQUEST_PULLREQUESTID=3 BUILD_SOURCEVERSION=§ BUILD_DEFINITIONNAME=ci SYSTEM_JOBDISPLAYNAME=Job
         BUILD_BUILDID=100 SYSTEM_JOBATTEMPT=1 SYSTEM_COLLECTIONURI=https://dev.azure.com/acme/ SYSTEM_TEAMPROJECT=team
         AGENT_NAME=Agent SYSTEM_ACCESSTOKEN=x",
        "azure app fix main 3 § ci Job 100 1 https://dev.azure.com/acme/team/_build/results?buildId=100 Agent",
    );
    check(
        "CI=true BITBUCKET_BUILD_NUMBER=11 BITBUCKET_REPO_FULL_NAME=acme/app BITBUCKET_BRANCH=fix BITBUCKET_COMMIT=§
         BITBUCKET_PR_DESTINATION_BRANCH=main BITBUCKET_PR_ID=2 BITBUCKET_STEP_UUID={a-b} BITBUCKET_STEP_RUN_NUMBER=1",
        "bitbucket acme/app fix main 2 § - {a-b} 11 1 https://bitbucket.org/acme/app/pipelines/results/11 -",
    );
}

#[test]
fn a_variable_does_not_begin_a_query_of_an_address() {
    check(
        "GITHUB_ACTIONS=true GITHUB_REPOSITORY=acme/a@b?c GITHUB_SERVER_URL=https: GITHUB_RUN_ID=6?token#1",
        "github acme/a@b?c - - - - - - 6?token#1 - https:/acme/a%40b%3Fc/actions/runs/6%3Ftoken%231 -",
    );
    check(
        "TF_BUILD=True BUILD_BUILDID=7&x SYSTEM_COLLECTIONURI=https://dev.azure.com/acme SYSTEM_TEAMPROJECT=caf\u{e9}",
        "azure - - - - - - - - - https://dev.azure.com/acme/caf%C3%A9/_build/results?buildId=7%26x -",
    );
}

#[test]
fn prow_and_tekton() {
    check(
        "PROW_JOB_ID=u-1 REPO_OWNER=acme REPO_NAME=app PULL_HEAD_REF=fix PULL_BASE_REF=main PULL_NUMBER=5 PULL_PULL_SHA=§
         PULL_BASE_SHA=0000000 JOB_NAME=pull-app-unit BUILD_ID=1795183",
        "prow acme/app fix main 5 § - pull-app-unit 1795183 - - -",
    );
    check(
        "PROW_JOB_ID=u-1 PULL_BASE_REF=main PULL_BASE_SHA=§",
        "prow - main - - § - - - - - -",
    );
    check(
        "TEKTON_TASK_RUN=app-x-build TEKTON_PIPELINE_RUN=app-x TEKTON_PIPELINE=app TEKTON_TASK=build TEKTON_BRANCH=refs/heads/main
         TEKTON_REVISION=§ TEKTON_REPOSITORY=https://git.example/acme/app TEKTON_RETRY=0",
        "tekton https://git.example/acme/app main - - § app build app-x 0 - -",
    );
}

#[test]
fn without_a_system_there_is_no_context() {
    for env in [
        "",
        "CI=true",
        "GITHUB_ACTIONS=false GITHUB_SHA=abcdef0",
        "CI=",
        "TF_BUILD=",
    ] {
        assert_eq!(of(env), None, "{env}");
    }
}

#[test]
fn every_vendor_tolerates_hostile_values() {
    let huge = "\u{e9}".repeat(4_000);
    let hostile: [&[u8]; 6] = [
        huge.as_bytes(),
        b"a\x1b[2J\r\nb\x00c\x7f",
        b"\xff\xfe\x80",
        b"https://user:hunter2@host/x?token=hunter2#hunter2",
        b"https://hunter2@host",
        b"://",
    ];
    for vendor in VENDORS {
        for value in hostile {
            let mut env: Vec<_> = VARIABLES.iter().map(|it| (*it, value)).collect();
            for (name, it) in &mut env {
                let is_mark = VENDORS.iter().any(|it| it.mark.0 == *name);
                if is_mark && *name != vendor.mark.0 {
                    *it = b"";
                } else if is_mark {
                    *it = vendor.mark.1.unwrap_or("1").as_bytes();
                }
            }
            let raw: Vec<_> = env
                .iter()
                .map(|(a, b)| ((*a).into(), (*b).into()))
                .collect();
            // Undecoded too: a recording may come from another version.
            for env in [decoded(&env), raw] {
                let ci = Ci::of(&env).unwrap();
                assert_eq!(ci.system, vendor.system);
                let text = serde_json::to_string(&ci).unwrap();
                assert!(text.len() < 12 * 1100, "{}: {}", vendor.system, text.len());
                assert!(!text.contains("hunter2"), "{text}");
                assert!(!text.contains("\\u00") && !text.contains("\\n"), "{text}");
            }
        }
    }
}

#[test]
fn the_allow_list_matches_the_tables() {
    let mut names = Vec::new();
    for vendor in VENDORS {
        let Vendor {
            system: _,
            mark,
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
        } = vendor;
        names.push(mark.0);
        let all = [
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
        ];
        for source in all.into_iter().copied().flatten() {
            match source {
                ValueSource::Var(name)
                | ValueSource::Pushed(name)
                | ValueSource::Branch(name)
                | ValueSource::Remote(name)
                | ValueSource::Number(name)
                | ValueSource::Ref(name)
                | ValueSource::Last(name)
                | ValueSource::Hash(name) => names.push(name),
                ValueSource::Join(pieces) | ValueSource::Address(pieces) => {
                    names.extend(pieces.iter().filter_map(|it| match it {
                        Piece::Var(name) | Piece::Base(name) => Some(*name),
                        Piece::Text(_) => None,
                    }));
                }
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, VARIABLES);
    let documented = include_str!("../../../docs/origin.md");
    for name in names {
        assert!(documented.contains(&format!("`{name}`")), "{name}");
    }
}

const A: &str = "3f4a9c1be0d25a7768c1f0e94b3d2a15c6e7f8091a2b3c4d5e6f708192a3b4c5";
const B: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const UID: &str = "1c6b2d0a-7f54-4c1e-9a55-0f1e2d3c4b5a";

/// `A` and `B` stand for ids, `U` for a pod's UID, `V` for that UID with underscores.
fn filled(path: &str) -> String {
    path.replace("{A}", A)
        .replace("{B}", B)
        .replace("{U}", UID)
        .replace("{V}", &UID.replace('-', "_"))
}

#[test]
fn paths_of_runtimes() {
    use Runtime::{Containerd, Crio, Docker, Podman};
    // Path, runtime, and true if it is in a pod. The container is always `A`.
    for (path, runtime, in_pod) in [
        ("/docker/{A}", Some(Docker), false),
        ("/system.slice/docker-{A}.scope", Some(Docker), false),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope/init",
            Some(Docker),
            false,
        ),
        ("/docker/{B}/docker/{A}", Some(Docker), false),
        ("/actions_job/{A}", None, false),
        ("/machine.slice/libpod-{A}.scope", Some(Podman), false),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container",
            Some(Podman),
            false,
        ),
        ("/libpod_parent/libpod-{A}", Some(Podman), false),
        (
            "/system.slice/web.service/libpod-payload-{A}",
            Some(Podman),
            false,
        ),
        (
            "/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope",
            Some(Podman),
            false,
        ),
        ("/system.slice/nerdctl-{A}.scope", Some(Containerd), false),
        ("/default/{A}", None, false),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{V}.slice/cri-containerd-{A}.scope",
            Some(Containerd),
            true,
        ),
        (
            "/kubepods.slice/kubepods-pod{V}.slice/crio-{A}.scope/container",
            Some(Crio),
            true,
        ),
        ("/kubepods/burstable/pod{U}/crio-{A}", Some(Crio), true),
        ("/kubepods/besteffort/pod{U}/{A}", None, true),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{V}.slice/docker-{A}.scope",
            Some(Docker),
            true,
        ),
        (
            "/system.slice/containerd.service/kubepods-burstable-pod{V}.slice:cri-containerd:{A}",
            Some(Containerd),
            true,
        ),
        // k3s as a service; k3d and kind in containers of their own.
        (
            "/system.slice/k3s.service/kubepods/burstable/pod{U}/{A}",
            None,
            true,
        ),
        ("/docker/{B}/kubepods/pod{U}/{A}", None, true),
        (
            "/system.slice/docker-{B}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{V}.slice/cri-containerd-{A}.scope",
            Some(Containerd),
            true,
        ),
        // A path seen from a cgroup namespace; a removed cgroup.
        ("/../../pod{U}/{A}", None, true),
        ("/docker/{A} (deleted)", Some(Docker), false),
    ] {
        let expected = Place {
            container: Some(A.to_owned()),
            runtime,
            pod_uid: in_pod.then(|| UID.to_owned()),
        };
        let path = filled(path);
        assert_eq!(Place::of_path(path.as_bytes()), Some(expected), "{path}");
    }
}

#[test]
fn other_paths_are_not_containers() {
    for path in [
        "",
        "/",
        "/init.scope",
        "/user.slice/user-1000.slice/session-3.scope",
        "/system.slice/docker.service",
        "/machine.slice/libpod-conmon-{A}.scope",
        "/kubepods.slice/crio-conmon-{A}.scope",
        "/docker/3f4a9c1be0d2",
        "/docker/{A}0",
        "/evil-{A}.scope",
        "/podcast",
        "/kubepods/pod../x",
        "/kubepods/pod1c6b2d0a-7f54-4c1e-9a55-0f1e2d3c4b5g",
        ":::::",
    ] {
        assert_eq!(Place::of_path(filled(path).as_bytes()), None, "{path}");
    }
    assert_eq!(Place::of_path(b"/docker/\xff\xfe"), None);
    let huge = "/é-pod".repeat(100_000);
    assert_eq!(Place::of_path(huge.as_bytes()), None);
}

#[test]
fn a_static_pod_has_a_hash_for_its_uid() {
    let place = Place::of_path(b"/kubepods/burstable/pod0123456789abcdef0123456789abcdef").unwrap();
    assert_eq!(place.container, None);
    assert_eq!(
        place.pod_uid.as_deref(),
        Some("0123456789abcdef0123456789abcdef")
    );
}

#[test]
fn proc_files_of_each_version() {
    let found = |text: &str| {
        let place = Place::of_proc(filled(text).as_bytes())?;
        Some((
            place.container? == A,
            place.runtime,
            place.pod_uid.is_some(),
        ))
    };
    let docker = Some((true, Some(Runtime::Docker), false));
    assert_eq!(found("0::/system.slice/docker-{A}.scope\n"), docker);
    assert_eq!(
        found("12:memory:/docker/{A}\n11:cpu,cpuacct:/docker/{A}\n1:name=systemd:/docker/{A}\n"),
        docker
    );
    // Hybrid: the unified hierarchy has nothing, or only the service.
    assert_eq!(
        found(
            "9:pids:/docker/{A}\n1:name=systemd:/docker/{A}\n0::/system.slice/containerd.service\n"
        ),
        docker
    );
    assert_eq!(
        found(
            "10:rdma:/\n4:cpu:/system.slice/containerd.service/kubepods-pod{V}.slice:cri-containerd:{A}\n0::/\n"
        ),
        Some((true, Some(Runtime::Containerd), true))
    );
    for none in ["", "0::/\n", "0::", "0", "\n\n", "x:y:/user.slice\n"] {
        assert_eq!(found(none), None, "{none}");
    }
}
