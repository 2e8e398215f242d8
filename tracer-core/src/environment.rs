//! Which environment variables of a traced process are kept, and how one is found.
//!
//! Everything else in an environment is dropped before it is stored: what is not named here never leaves the decoder.
//! Values are not judged here; see [`crate::redact`].

use crate::byte_string::ByteString;

/// Names kept in full, sorted. Go's own (`GO*`, `CGO_*`) are a rule, not a list; see [`is_allowed`].
const ALLOWED: &[&str] = &[
    "AR",
    "BRANCH_NAME",
    "BUILDKITE",
    "BUILDKITE_AGENT_NAME",
    "BUILDKITE_BRANCH",
    "BUILDKITE_BUILD_ID",
    "BUILDKITE_BUILD_NUMBER",
    "BUILDKITE_BUILD_URL",
    "BUILDKITE_COMMIT",
    "BUILDKITE_JOB_ID",
    "BUILDKITE_LABEL",
    "BUILDKITE_ORGANIZATION_SLUG",
    "BUILDKITE_PIPELINE_DEFAULT_BRANCH",
    "BUILDKITE_PIPELINE_SLUG",
    "BUILDKITE_PULL_REQUEST",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
    "BUILDKITE_REPO",
    "BUILD_NUMBER",
    "BUILD_URL",
    "CC",
    "CHANGE_BRANCH",
    "CHANGE_ID",
    "CHANGE_TARGET",
    "CI",
    "CIRCLECI",
    "CIRCLE_BRANCH",
    "CIRCLE_BUILD_NUM",
    "CIRCLE_BUILD_URL",
    "CIRCLE_JOB",
    "CIRCLE_PROJECT_REPONAME",
    "CIRCLE_PROJECT_USERNAME",
    "CIRCLE_PULL_REQUEST",
    "CIRCLE_REPOSITORY_URL",
    "CIRCLE_SHA1",
    "CIRCLE_WORKFLOW_ID",
    "CI_COMMIT_BRANCH",
    "CI_COMMIT_REF_NAME",
    "CI_COMMIT_SHA",
    "CI_DEFAULT_BRANCH",
    "CI_JOB_ID",
    "CI_JOB_NAME",
    "CI_JOB_URL",
    "CI_MERGE_REQUEST_IID",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "CI_PIPELINE_ID",
    "CI_PIPELINE_URL",
    "CI_PROJECT_PATH",
    "CI_PROJECT_URL",
    "CI_RUNNER_DESCRIPTION",
    "CXX",
    "DRONE",
    "DRONE_BRANCH",
    "DRONE_BUILD_NUMBER",
    "DRONE_COMMIT_SHA",
    "DRONE_REPO",
    "FC",
    "GITEA_ACTIONS",
    "GITHUB_ACTIONS",
    "GITHUB_BASE_REF",
    "GITHUB_EVENT_NAME",
    "GITHUB_HEAD_REF",
    "GITHUB_JOB",
    "GITHUB_REF",
    "GITHUB_REF_NAME",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_NUMBER",
    "GITHUB_SERVER_URL",
    "GITHUB_SHA",
    "GITHUB_WORKFLOW",
    "GITLAB_CI",
    "GIT_BRANCH",
    "GIT_COMMIT",
    "GIT_URL",
    "HOME",
    "JENKINS_URL",
    "JOB_NAME",
    "NODE_NAME",
    "PATH",
    "PKG_CONFIG",
    "PROW_JOB_ID",
    "PWD",
    "RUNNER_NAME",
    "SOURCE_DATE_EPOCH",
    "TEAMCITY_VERSION",
    "TEKTON",
    "TF_BUILD",
    "TMPDIR",
    "TOOLEXEC_IMPORTPATH",
    "TRACEPARENT",
    "TRACESTATE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

/// Whether a variable of this name is kept.
///
/// Go's settings have no underscore but for the few families named here. So `GOFLAGS` stays and `GOOGLE_API_KEY`,
/// `GODADDY_SECRET` and their like, which a plain `GO*` would let in, do not.
pub fn is_allowed(name: &[u8]) -> bool {
    if ALLOWED
        .binary_search_by(|it| it.as_bytes().cmp(name))
        .is_ok()
    {
        return true;
    }
    if !name
        .iter()
        .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || *it == b'_')
    {
        return false;
    }
    match name.strip_prefix(b"GO") {
        Some(rest) => {
            !rest.contains(&b'_')
                || rest.starts_with(b"_")
                || rest.starts_with(b"TOOLCHAIN_INTERNAL_")
        }
        None => name.starts_with(b"CGO_"),
    }
}

/// Value of a variable; an empty one is a value.
pub fn get<'a>(env: &'a [(ByteString, ByteString)], name: &str) -> Option<&'a ByteString> {
    env.iter()
        .find(|(it, _)| it == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_no_name_twice() {
        assert!(ALLOWED.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn names_are_kept_or_dropped() {
        for kept in [
            "PATH",
            "HOME",
            "GOFLAGS",
            "GO111MODULE",
            "GOAMD64",
            "GO_TELEMETRY_CHILD",
            "GOTOOLCHAIN_INTERNAL_SWITCH_VERSION",
            "CGO_LDFLAGS",
            "CC",
            "TOOLEXEC_IMPORTPATH",
            "GITHUB_SHA",
            "TRACEPARENT",
            "XDG_CONFIG_HOME",
        ] {
            assert!(is_allowed(kept.as_bytes()), "{kept}");
        }
        for dropped in [
            "",
            "GOOGLE_API_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GODADDY_SECRET",
            "GOPASS_TOKEN",
            "GITHUB_TOKEN",
            "CI_JOB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "LD_PRELOAD",
            "path",
            "GOflags",
            "GO\u{e9}",
            "CGO",
        ] {
            assert!(!is_allowed(dropped.as_bytes()), "{dropped}");
        }
    }
}
