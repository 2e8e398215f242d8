//! The allow-list of environment variables of a traced process, and the lookup of a variable.
//!
//! The decoder drops all other variables before anything is stored. This module does not check values; see [`crate::redact`].

use crate::byte_string::ByteString;
use crate::origin;

/// Names that are kept, sorted. Go's own names (`GO*`, `CGO_*`) follow a rule (see [`is_allowed`]). Names that describe the origin of a
/// build are listed in [`crate::origin`].
const ALLOWED: &[&str] = &[
    "AR",
    "CC",
    "CXX",
    "FC",
    "HOME",
    "PATH",
    "PKG_CONFIG",
    "PWD",
    "SOURCE_DATE_EPOCH",
    "TMPDIR",
    "TOOLEXEC_IMPORTPATH",
    "TRACEPARENT",
    "TRACESTATE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

/// True if a variable of this name is kept.
///
/// Go's settings contain no underscore, except the few families named here. `GOFLAGS` is kept. A plain `GO*` would also keep
/// `GOOGLE_API_KEY` and `GODADDY_SECRET`; this rule does not.
pub fn is_allowed(name: &[u8]) -> bool {
    if ALLOWED
        .binary_search_by(|it| it.as_bytes().cmp(name))
        .is_ok()
        || origin::is_variable(name)
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

/// Value of a variable; an empty value counts.
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
            "BUILDKITE_AGENT_ACCESS_TOKEN",
            "CIRCLE_OIDC_TOKEN",
            "SYSTEM_ACCESSTOKEN",
            "BITBUCKET_STEP_OIDC_TOKEN",
            "ACTIONS_RUNTIME_TOKEN",
            "CI_NETRC_PASSWORD",
            "DRONE_NETRC_PASSWORD",
            "DRONE_COMMIT_AUTHOR_EMAIL",
            "CI_COMMIT_MESSAGE",
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
