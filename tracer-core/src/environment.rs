//! Which environment variables of a traced process are kept, and how one is found.
//!
//! Everything else in an environment is dropped before it is stored: what is not named here never leaves the decoder.
//! Values are not judged here; see [`crate::redact`].

use crate::byte_string::ByteString;
use crate::origin;

/// Names kept in full, sorted. Go's own (`GO*`, `CGO_*`) are a rule, not a list (see [`is_allowed`]), and those that say where
/// a build came from are listed in [`crate::origin`].
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

/// Whether a variable of this name is kept.
///
/// Go's settings have no underscore but for the few families named here. So `GOFLAGS` stays and `GOOGLE_API_KEY`,
/// `GODADDY_SECRET` and their like, which a plain `GO*` would let in, do not.
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
