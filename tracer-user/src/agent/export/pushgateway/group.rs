//! A group of the Pushgateway: the last known state of a target on each of its platforms, as a file and as text.
//!
//! The grouping key is the job and the target, without the machine: the last build of a target counts, on any runner.
//! This module has no clock and sends nothing.

use std::collections::BTreeMap;
use tracer_core::hex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prometheus::{Error, GaugeVec, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::render::metrics::family::{
    BINARY_SIZE, INFO, LAST_DURATION, LAST_SUCCESS, LAST_TIMESTAMP, Spec, TIMESTAMP,
};
use crate::render::metrics::{fold, label};

/// Version of the format of the file.
pub(super) const FORM: u32 = 1;
/// Maximum number of platforms and projects of a target.
const PLATFORMS: usize = 32;

/// The state of a target, and of its group on the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) form: u32,
    /// The gateway, without credentials.
    pub(super) gateway: String,
    pub(super) job: String,
    pub(super) target: String,
    /// True if the gateway does not have the current state yet.
    pub(super) is_waiting: bool,
    /// True if this machine has pushed the group.
    pub(super) is_there: bool,
    pub(super) platforms: Vec<Platform>,
}

/// A target on a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Platform {
    /// The labels of `go_build_info`.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) size: Option<u64>,
    /// Time of the last successful build, in nanoseconds since 1970.
    pub(super) built_ns: u64,
    /// The last build, successful or not.
    pub(super) last: LastBuild,
    /// A digest of the invocation of the `go` command. It identifies failed builds, which have no target.
    pub(super) asked: String,
}

/// The result of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LastBuild {
    pub(super) ended_ns: u64,
    pub(super) wall_ns: u64,
    /// Absent if the end was not observed.
    pub(super) is_success: Option<bool>,
}

impl Platform {
    fn values<'a>(&'a self, spec: &Spec) -> Vec<&'a str> {
        let value = |name: &&str| {
            self.labels
                .get(*name)
                .map_or(label::UNKNOWN, String::as_str)
        };
        spec.labels.iter().map(value).collect()
    }

    pub(super) fn is_of(&self, goos: &str, goarch: &str) -> bool {
        let is = |name: &str, value: &str| self.labels.get(name).is_some_and(|it| it == value);
        is("goos", goos) && is("goarch", goarch)
    }
}

impl Group {
    /// Applies a successful build, which must be pushed.
    pub(super) fn learn(&mut self, platform: Platform) {
        let key = |it: &Platform| -> Vec<String> {
            let values = it.values(&TIMESTAMP).into_iter();
            values.map(str::to_owned).collect()
        };
        let own = key(&platform);
        self.platforms.retain(|it| key(it) != own);
        self.platforms.push(platform);
        if self.platforms.len() > PLATFORMS {
            self.platforms.sort_by_key(|it| it.last.ended_ns);
            self.platforms.remove(0);
        }
        self.is_waiting = true;
    }

    /// Time of the last change.
    pub(super) fn newest_ns(&self) -> u64 {
        let ends = self.platforms.iter().map(|it| it.last.ended_ns);
        ends.max().unwrap_or(0)
    }

    /// Removes platforms without a later change, unless all are old: then the whole group is deleted instead.
    pub(super) fn forget_before(&mut self, before_ns: u64) -> bool {
        let is_old = |it: &Platform| it.last.ended_ns < before_ns;
        if self.platforms.iter().all(is_old) || !self.platforms.iter().any(is_old) {
            return false;
        }
        self.platforms.retain(|it| !is_old(it));
        self.is_waiting = true;
        true
    }

    /// The path of the group's URL.
    pub(super) fn path(&self) -> String {
        let mut path = "/metrics".to_owned();
        for (name, value) in [("job", &self.job), ("target", &self.target)] {
            path.push('/');
            path.push_str(name);
            path.push_str(&segment(value));
        }
        path
    }

    /// The name of the group's file. A build cannot choose any part of it.
    pub(super) fn file_name(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.job.as_bytes());
        digest.update([0]);
        digest.update(self.target.as_bytes());
        format!("{}.json", hex::hex(&digest.finalize()))
    }

    /// The pushed text. An error is a bug in gotrace.
    pub(super) fn text(&self) -> Result<String, Error> {
        let registry = Registry::new();
        let gauge = |spec: &Spec| -> Result<GaugeVec, Error> {
            let family = GaugeVec::new(spec.opts(), spec.labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let (info, size, built) = (gauge(&INFO)?, gauge(&BINARY_SIZE)?, gauge(&TIMESTAMP)?);
        let (ended, took) = (gauge(&LAST_TIMESTAMP)?, gauge(&LAST_DURATION)?);
        let is_success = gauge(&LAST_SUCCESS)?;
        for platform in &self.platforms {
            let set = |family: &GaugeVec, spec: &Spec, value: f64| -> Result<(), Error> {
                let series = family.get_metric_with_label_values(&platform.values(spec))?;
                series.set(value);
                Ok(())
            };
            set(&info, &INFO, 1.0)?;
            if let Some(bytes) = platform.size {
                set(&size, &BINARY_SIZE, fold::bytes(bytes))?;
            }
            let LastBuild {
                ended_ns,
                wall_ns,
                is_success: succeeded,
            } = platform.last;
            set(&built, &TIMESTAMP, fold::seconds(platform.built_ns))?;
            set(&ended, &LAST_TIMESTAMP, fold::seconds(ended_ns))?;
            set(&took, &LAST_DURATION, fold::seconds(wall_ns))?;
            if let Some(succeeded) = succeeded {
                set(&is_success, &LAST_SUCCESS, f64::from(u8::from(succeeded)))?;
            }
        }
        TextEncoder::new().encode_to_string(&registry.gather())
    }
}

/// A value of a grouping key, with a leading slash. It is base64-encoded unless all characters are safe and it cannot be
/// a path segment such as `..`. The encoding of an empty value is only the padding.
fn segment(value: &str) -> String {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.~".contains(&it);
    let is_step = ["", ".", ".."].contains(&value);
    if !is_step && value.bytes().all(is_plain) {
        format!("/{value}")
    } else if value.is_empty() {
        "@base64/=".to_owned()
    } else {
        format!("@base64/{}", URL_SAFE_NO_PAD.encode(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(goos: &str, ended_ns: u64) -> Platform {
        let labels = [
            ("project", "example.com/m"),
            ("target", "example.com/m/cmd/x"),
            ("goos", goos),
        ];
        Platform {
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            size: Some(7),
            built_ns: ended_ns,
            last: LastBuild {
                ended_ns,
                wall_ns: 1_500_000_000,
                is_success: Some(true),
            },
            asked: String::new(),
        }
    }

    fn group(target: &str) -> Group {
        Group {
            form: FORM,
            gateway: String::new(),
            job: "gotrace".to_owned(),
            target: target.to_owned(),
            is_waiting: false,
            is_there: false,
            platforms: Vec::new(),
        }
    }

    #[test]
    fn grouping_keys_are_unambiguous_paths() {
        for (target, path) in [
            ("hello", "/metrics/job/gotrace/target/hello"),
            ("", "/metrics/job/gotrace/target@base64/="),
            ("..", "/metrics/job/gotrace/target@base64/Li4"),
            ("a b", "/metrics/job/gotrace/target@base64/YSBi"),
            ("a%2fb", "/metrics/job/gotrace/target@base64/YSUyZmI"),
            (
                "example.com/a?b",
                "/metrics/job/gotrace/target@base64/ZXhhbXBsZS5jb20vYT9i",
            ),
            ("größe", "/metrics/job/gotrace/target@base64/Z3LDtsOfZQ"),
        ] {
            assert_eq!(group(target).path(), path);
        }
    }

    #[test]
    fn files_of_different_groups_have_different_names() {
        let (mut one, mut two) = (group("b"), group("ab"));
        one.job = "a".to_owned();
        two.job = String::new();
        assert_ne!(one.file_name(), two.file_name());
        assert_eq!(one.file_name().len(), 64 + ".json".len());
    }

    #[test]
    fn the_newest_build_of_a_platform_wins_and_platforms_are_limited() {
        let mut group = group("x");
        group.learn(platform("linux", 1));
        group.learn(platform("windows", 2));
        group.learn(platform("linux", 3));
        assert_eq!((group.platforms.len(), group.newest_ns()), (2, 3));
        for n in 0..100 {
            group.learn(platform(&n.to_string(), 10 + n));
        }
        assert_eq!(group.platforms.len(), PLATFORMS);
        assert_eq!(group.newest_ns(), 109);
    }

    #[test]
    fn an_old_platform_is_removed_and_the_last_one_with_its_group() {
        let mut group = group("x");
        group.learn(platform("linux", 10));
        group.learn(platform("windows", 20));
        assert!(!group.forget_before(5));
        assert!(group.forget_before(15));
        assert_eq!(group.platforms.len(), 1);
        assert!(!group.forget_before(100));
        assert_eq!(group.platforms.len(), 1);
    }

    #[test]
    fn the_pushed_text_contains_no_machine_and_no_timestamps() {
        let mut group = group("x");
        group.learn(platform("linux", 1_700_000_000_250_000_000));
        expect_test::expect![[r##"
            # HELP go_build_binary_size_bytes Size of the last file built from the target, in bytes.
            # TYPE go_build_binary_size_bytes gauge
            go_build_binary_size_bytes{goarch="unknown",goos="linux",project="example.com/m",target="example.com/m/cmd/x"} 7
            # HELP go_build_info Settings of the last build of the target, as labels; always 1.
            # TYPE go_build_info gauge
            go_build_info{buildmode="unknown",cgo="unknown",go_version="unknown",goarch="unknown",goflags_set="unknown",goos="linux",project="example.com/m",race="unknown",stripped="unknown",target="example.com/m/cmd/x",trimpath="unknown"} 1
            # HELP go_build_last_duration_seconds Wall time of the last build of the target, in seconds.
            # TYPE go_build_last_duration_seconds gauge
            go_build_last_duration_seconds{goarch="unknown",goos="linux",project="example.com/m",target="example.com/m/cmd/x"} 1.5
            # HELP go_build_last_success 1 if the last build of the target succeeded, 0 if not.
            # TYPE go_build_last_success gauge
            go_build_last_success{goarch="unknown",goos="linux",project="example.com/m",target="example.com/m/cmd/x"} 1
            # HELP go_build_last_timestamp_seconds End of the last build of the target, successful or not, in seconds since 1970.
            # TYPE go_build_last_timestamp_seconds gauge
            go_build_last_timestamp_seconds{goarch="unknown",goos="linux",project="example.com/m",target="example.com/m/cmd/x"} 1700000000.2499998
            # HELP go_build_timestamp_seconds Time of the last build of the target, in seconds since 1970.
            # TYPE go_build_timestamp_seconds gauge
            go_build_timestamp_seconds{goarch="unknown",goos="linux",project="example.com/m",target="example.com/m/cmd/x"} 1700000000.2499998
        "##]]
        .assert_eq(&group.text().unwrap());
    }
}
