//! The setup of a build, to detect differences between the builds of a project.
//!
//! Two queries use the remembered setups of a project. The first returns the novelty of a build that compiled something. The second counts
//! differences between builds that should be alike. Only differences are known, not causes: if a build with another toolchain compiled a
//! package, the toolchain is only the first thing to check. Values are stored as hashes: they are compared and never shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};

use crate::byte_string::ByteString;
use crate::model::{Build, FlagOrigin};

/// Number of remembered builds of a project.
pub const REMEMBERED: usize = 20;

/// A group of related settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettingGroup {
    /// Version and path of Go.
    Toolchain,
    Goflags,
    /// Variables of Go that change the compiled code.
    GoEnvironment,
    /// The C compiler, its flags, and whether one is present.
    CEnvironment,
    /// The location of the build cache.
    Cache,
    /// The sources of modules.
    Modules,
}

impl SettingGroup {
    pub const ALL: [Self; 6] = [
        Self::Toolchain,
        Self::Goflags,
        Self::GoEnvironment,
        Self::CEnvironment,
        Self::Cache,
        Self::Modules,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Toolchain => "toolchain",
            Self::Goflags => "goflags",
            Self::GoEnvironment => "go_environment",
            Self::CEnvironment => "c_environment",
            Self::Cache => "cache",
            Self::Modules => "modules",
        }
    }

    /// The group of a variable as the tools received it. Absent for a variable that does not affect the build, or that is compared on its
    /// own: GOOS, GOARCH and its level.
    fn of(variable: &str) -> Option<Self> {
        Some(match variable {
            "GOCACHE" | "GOCACHEPROG" => Self::Cache,
            "GOEXPERIMENT" | "GOFIPS140" | "GOROOT_FINAL" | "GODEBUG" => Self::GoEnvironment,
            "AR" | "CC" | "CXX" | "FC" | "PKG_CONFIG" | "GCCGO" => Self::CEnvironment,
            "GO111MODULE" | "GOAUTH" | "GOINSECURE" | "GOMODCACHE" | "GONOPROXY" | "GONOSUMDB"
            | "GOPATH" | "GOPRIVATE" | "GOPROXY" | "GOSUMDB" | "GOVCS" | "GOWORK" => Self::Modules,
            _ if variable.starts_with("CGO_") => Self::CEnvironment,
            _ => return None,
        })
    }
}

/// Flags that change the compiled code; linker-only flags are left out.
const FLAGS: &[&str] = &[
    "asan",
    "asmflags",
    "buildmode",
    "compiler",
    "cover",
    "covermode",
    "coverpkg",
    "gccgoflags",
    "gcflags",
    "installsuffix",
    "linkshared",
    "mod",
    "modfile",
    "msan",
    "overlay",
    "pgo",
    "pkgdir",
    "race",
    "tags",
    "toolexec",
    "trimpath",
];
/// Variables of GOARCH's levels: part of the platform.
const LEVELS: &[&str] = &[
    "GO386",
    "GOAMD64",
    "GOARM",
    "GOARM64",
    "GOMIPS",
    "GOMIPS64",
    "GOPPC64",
    "GORISCV64",
    "GOWASM",
];

/// The first novelty of a build that compiled packages, in comparison with the remembered builds of its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// `-a` was given.
    Forced,
    /// Its settings were not seen.
    Unknown,
    /// No other build of the project is remembered.
    FirstBuild,
    /// No build for this platform is remembered.
    Platform,
    Toolchain,
    Flags,
    GoEnvironment,
    CEnvironment,
    Cache,
    /// No novelty: a build with the same setup is remembered. The cause is a change of sources or dependencies, or a loss in the cache.
    Inputs,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Unknown => "unknown",
            Self::FirstBuild => "first_build",
            Self::Platform => "platform",
            Self::Toolchain => "toolchain",
            Self::Flags => "flags",
            Self::GoEnvironment => "go_environment",
            Self::CEnvironment => "c_environment",
            Self::Cache => "cache",
            Self::Inputs => "inputs",
        }
    }
}

/// The setup of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    is_forced: bool,
    platform: u64,
    flags: u64,
    /// Hashes of values, by group and hash of the name.
    settings: BTreeMap<(SettingGroup, u64), u64>,
}

impl Setup {
    /// Absent if no tool ran that would have received the settings.
    pub fn of(build: &Build) -> Option<Self> {
        if build.env.is_empty() {
            return None;
        }
        let mut settings: BTreeMap<(SettingGroup, u64), u64> = build
            .env
            .iter()
            .filter_map(|(name, value)| Some(((SettingGroup::of(name)?, hash(name)), hash(value))))
            .collect();
        let toolchain = &build.toolchain;
        let own = [
            (SettingGroup::Toolchain, "version", hash(&toolchain.version)),
            (SettingGroup::Toolchain, "goroot", hash(&toolchain.goroot)),
            (SettingGroup::Goflags, "value", hash(&build.goflags.value)),
        ];
        settings.extend(own.map(|(kind, name, value)| ((kind, hash(name)), value)));
        let levels = LEVELS.iter().map(|it| build.env.get(*it));
        let platform = (
            &toolchain.goos,
            &toolchain.goarch,
            levels.collect::<Vec<_>>(),
        );
        Some(Self {
            is_forced: build.command.flags.iter().any(|it| it.name == "a"),
            platform: hash(platform),
            flags: hash(flags(build)),
            settings,
        })
    }

    fn is_like(&self, other: &Self) -> bool {
        self.platform == other.platform && self.differs(other).is_none()
    }

    /// The first difference that changes the compiled code.
    fn differs(&self, other: &Self) -> Option<Reason> {
        let is_other = |kind: SettingGroup| {
            let of = |it: &Self| -> Vec<(u64, u64)> {
                let settings = it.settings.iter().filter(|((its, _), _)| *its == kind);
                settings.map(|((_, name), value)| (*name, *value)).collect()
            };
            of(self) != of(other)
        };
        let kinds = [
            (Reason::Toolchain, is_other(SettingGroup::Toolchain)),
            (Reason::Flags, self.flags != other.flags),
            (Reason::GoEnvironment, is_other(SettingGroup::GoEnvironment)),
            (Reason::CEnvironment, is_other(SettingGroup::CEnvironment)),
            (Reason::Cache, is_other(SettingGroup::Cache)),
        ];
        let found = kinds.into_iter().find(|(_, is_other)| *is_other);
        found.map(|(reason, _)| reason)
    }
}

/// The last builds of one project.
#[derive(Clone, Debug, Default)]
pub struct SetupHistory(VecDeque<Setup>);

impl SetupHistory {
    /// The novelty of a build that is not yet remembered itself.
    pub fn reason(&self, setup: Option<&Setup>) -> Reason {
        let Some(setup) = setup else {
            return Reason::Unknown;
        };
        if setup.is_forced {
            return Reason::Forced;
        }
        if self.0.is_empty() {
            return Reason::FirstBuild;
        }
        if self.0.iter().any(|it| it.is_like(setup)) {
            return Reason::Inputs;
        }
        let mut latest_first = self.0.iter().rev();
        let last = latest_first.find(|it| it.platform == setup.platform);
        last.map_or(Reason::Platform, |it| {
            it.differs(setup).unwrap_or(Reason::Inputs)
        })
    }

    /// Remembers a setup; the oldest one is dropped if there is no room.
    pub fn note(&mut self, setup: Setup) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(setup);
    }

    /// The number of settings in a group that differ between builds for one platform; of several platforms, the highest number.
    pub fn drift(&self, kind: SettingGroup) -> usize {
        let platforms: BTreeSet<u64> = self.0.iter().map(|it| it.platform).collect();
        let of_platform = |platform: u64| {
            let builds: Vec<&Setup> = self.0.iter().filter(|it| it.platform == platform).collect();
            let names: BTreeSet<(SettingGroup, u64)> = builds
                .iter()
                .flat_map(|it| it.settings.keys().copied())
                .filter(|(its, _)| *its == kind)
                .collect();
            let values = |name: &(SettingGroup, u64)| -> BTreeSet<Option<u64>> {
                builds
                    .iter()
                    .map(|it| it.settings.get(name).copied())
                    .collect()
            };
            names.iter().filter(|it| values(it).len() > 1).count()
        };
        platforms.into_iter().map(of_platform).max().unwrap_or(0)
    }
}

/// Flags in force that change the compiled code, the last of each. Their source makes no difference.
fn flags(build: &Build) -> BTreeMap<&str, Option<&[u8]>> {
    let given = build.command.flags.iter().filter(|it| match it.origin {
        FlagOrigin::Argv | FlagOrigin::Goflags => FLAGS.contains(&it.name.as_str()),
    });
    given
        .map(|it| {
            (
                it.name.as_str(),
                it.value.as_ref().map(ByteString::as_bytes),
            )
        })
        .collect()
}

/// The hash of a value, equal for equal values within one process. Setups do not outlive the process.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Flag, Toolchain};

    fn build(version: &str, goos: &str, env: &[(&str, &str)], flags: &[&str]) -> Build {
        let mut build = crate::history::tests::build(1, 1, &[]);
        build.toolchain = Toolchain {
            version: Some(version.to_owned()),
            goos: Some(goos.to_owned()),
            ..Toolchain::default()
        };
        let env = [("GOCACHE", "/cache"), ("CC", "gcc")].iter().chain(env);
        build.env = env
            .map(|(name, value)| ((*name).to_owned(), ByteString::from(*value)))
            .collect();
        let flags = flags.iter().map(|name| Flag {
            name: (*name).to_owned(),
            value: None,
            origin: FlagOrigin::Argv,
        });
        build.command.flags = flags.collect();
        build
    }

    fn setup(build: &Build) -> Setup {
        Setup::of(build).unwrap()
    }

    fn past(builds: &[Build]) -> SetupHistory {
        let mut past = SetupHistory::default();
        for build in builds {
            past.note(setup(build));
        }
        past
    }

    #[test]
    fn the_reason_is_the_first_novelty() {
        let plain = || build("go1.27", "linux", &[], &[]);
        let past = past(&[plain()]);
        let reason = |it: Build| past.reason(Some(&setup(&it)));
        assert_eq!(reason(plain()), Reason::Inputs);
        assert_eq!(
            reason(build("go1.27", "linux", &[], &["v", "o"])),
            Reason::Inputs
        );
        assert_eq!(
            reason(build("go1.27", "linux", &[], &["a"])),
            Reason::Forced
        );
        assert_eq!(
            reason(build("go1.28", "linux", &[], &["race"])),
            Reason::Toolchain
        );
        assert_eq!(
            reason(build("go1.27", "linux", &[], &["race"])),
            Reason::Flags
        );
        assert_eq!(
            reason(build("go1.27", "windows", &[], &[])),
            Reason::Platform
        );
        let with = |name, value| reason(build("go1.27", "linux", &[(name, value)], &[]));
        assert_eq!(with("GOAMD64", "v3"), Reason::Platform);
        assert_eq!(with("GOEXPERIMENT", "synctest"), Reason::GoEnvironment);
        assert_eq!(with("CC", "clang"), Reason::CEnvironment);
        assert_eq!(with("CGO_CFLAGS", "-O3"), Reason::CEnvironment);
        assert_eq!(with("GOCACHE", "/other"), Reason::Cache);
        assert_eq!(with("GOPROXY", "off"), Reason::Inputs);
        assert_eq!(with("GOTMPDIR", "/tmp/x"), Reason::Inputs);
        assert_eq!(
            SetupHistory::default().reason(Some(&setup(&plain()))),
            Reason::FirstBuild
        );
        assert_eq!(past.reason(None), Reason::Unknown);
        let mut silent = plain();
        silent.env.clear();
        assert_eq!(Setup::of(&silent), None);
    }

    #[test]
    fn alternating_builds_are_not_new_to_each_other() {
        let plain = build("go1.27", "linux", &[], &[]);
        let race = build("go1.27", "linux", &[], &["race"]);
        let past = past(&[plain.clone(), race.clone()]);
        assert_eq!(past.reason(Some(&setup(&plain))), Reason::Inputs);
        assert_eq!(past.reason(Some(&setup(&race))), Reason::Inputs);
    }

    #[test]
    fn drift_counts_differences_between_builds_for_one_platform() {
        let mut past = past(&[
            build("go1.27", "linux", &[], &[]),
            build("go1.27", "windows", &[("CGO_ENABLED", "0")], &["race"]),
        ]);
        for kind in SettingGroup::ALL {
            assert_eq!(past.drift(kind), 0, "{kind:?}");
        }
        let mut other = build(
            "go1.26",
            "linux",
            &[("CC", "clang"), ("CGO_CFLAGS", "-g")],
            &[],
        );
        other.goflags.value = ByteString::from("-mod=mod");
        past.note(setup(&other));
        let drift = SettingGroup::ALL.map(|it| past.drift(it));
        assert_eq!(drift, [1, 1, 0, 2, 0, 0]);
        // The drift ends when the differing builds are no longer remembered.
        for _ in 0..REMEMBERED {
            past.note(setup(&other));
        }
        assert_eq!(SettingGroup::ALL.map(|it| past.drift(it)), [0; 6]);
    }
}
