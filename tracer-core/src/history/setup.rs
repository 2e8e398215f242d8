//! What a build was set up with, so that two builds of a project can be told to differ and by what.
//!
//! Two questions are answered from what is remembered of a project: what was new about a build that compiled something, and what
//! differs between builds that should be alike. Only differences are known, not causes: that a package was compiled in a build with
//! another toolchain says what is to be looked at first. Values are kept as hashes: they are compared and never shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};

use crate::byte_string::ByteString;
use crate::model::{Build, FlagOrigin};

/// Builds of a project that are remembered.
pub const REMEMBERED: usize = 20;

/// Settings that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Version and place of Go.
    Toolchain,
    /// The value of GOFLAGS.
    Goflags,
    /// Variables of Go that change what is compiled.
    GoEnvironment,
    /// The C compiler, its flags, and whether there is one.
    CEnvironment,
    /// Where what was compiled is kept.
    Cache,
    /// Where modules come from.
    Modules,
}

impl Kind {
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

    /// Of a variable as the tools were given it. Absent for one that says nothing of how things are built, or that is compared on its
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

/// Flags that change what is compiled; those of the linker alone are not among them.
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
/// Of GOARCH's levels: part of the platform.
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

/// What was new about a build that compiled packages, compared with those remembered of its project. The first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// `-a` was given.
    Forced,
    /// Its settings were not seen.
    Unknown,
    /// No other build of the project is remembered.
    FirstBuild,
    /// None for this platform is.
    Platform,
    Toolchain,
    Flags,
    GoEnvironment,
    CEnvironment,
    Cache,
    /// Nothing: one that was set up alike is remembered. So it is sources or dependencies, or what the cache had lost.
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

/// What one build was set up with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    is_forced: bool,
    platform: u64,
    flags: u64,
    /// Hashes of values by hashes of names.
    settings: BTreeMap<(Kind, u64), u64>,
}

impl Setup {
    /// Absent where no tool ran that would have been given the settings.
    pub fn of(build: &Build) -> Option<Self> {
        if build.env.is_empty() {
            return None;
        }
        let mut settings: BTreeMap<(Kind, u64), u64> = build
            .env
            .iter()
            .filter_map(|(name, value)| Some(((Kind::of(name)?, hash(name)), hash(value))))
            .collect();
        let toolchain = &build.toolchain;
        let own = [
            (Kind::Toolchain, "version", hash(&toolchain.version)),
            (Kind::Toolchain, "goroot", hash(&toolchain.goroot)),
            (Kind::Goflags, "value", hash(&build.goflags.value)),
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

    /// What changes what is compiled and is not the same, the first of it.
    fn differs(&self, other: &Self) -> Option<Reason> {
        let is_other = |kind: Kind| {
            let of = |it: &Self| -> Vec<(u64, u64)> {
                let settings = it.settings.iter().filter(|((its, _), _)| *its == kind);
                settings.map(|((_, name), value)| (*name, *value)).collect()
            };
            of(self) != of(other)
        };
        let kinds = [
            (Reason::Toolchain, is_other(Kind::Toolchain)),
            (Reason::Flags, self.flags != other.flags),
            (Reason::GoEnvironment, is_other(Kind::GoEnvironment)),
            (Reason::CEnvironment, is_other(Kind::CEnvironment)),
            (Reason::Cache, is_other(Kind::Cache)),
        ];
        let found = kinds.into_iter().find(|(_, is_other)| *is_other);
        found.map(|(reason, _)| reason)
    }
}

/// The last builds of one project.
#[derive(Clone, Debug, Default)]
pub struct Past(VecDeque<Setup>);

impl Past {
    /// What was new about a build, before it is noted itself.
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

    /// Remembers it, in place of the oldest.
    pub fn note(&mut self, setup: Setup) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(setup);
    }

    /// How many settings of a kind are not the same in all builds for one platform; of several platforms the most.
    pub fn drift(&self, kind: Kind) -> usize {
        let platforms: BTreeSet<u64> = self.0.iter().map(|it| it.platform).collect();
        let of_platform = |platform: u64| {
            let builds: Vec<&Setup> = self.0.iter().filter(|it| it.platform == platform).collect();
            let names: BTreeSet<(Kind, u64)> = builds
                .iter()
                .flat_map(|it| it.settings.keys().copied())
                .filter(|(its, _)| *its == kind)
                .collect();
            let values = |name: &(Kind, u64)| -> BTreeSet<Option<u64>> {
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

/// Those in force that change what is compiled, the last of each. Where they were given makes no difference.
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

/// The same for the same within one process, which is as long as it is kept.
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

    fn past(builds: &[Build]) -> Past {
        let mut past = Past::default();
        for build in builds {
            past.note(setup(build));
        }
        past
    }

    #[test]
    fn the_reason_is_what_was_new() {
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
            Past::default().reason(Some(&setup(&plain()))),
            Reason::FirstBuild
        );
        assert_eq!(past.reason(None), Reason::Unknown);
        let mut silent = plain();
        silent.env.clear();
        assert_eq!(Setup::of(&silent), None);
    }

    #[test]
    fn builds_that_take_turns_are_not_new_to_each_other() {
        let plain = build("go1.27", "linux", &[], &[]);
        let race = build("go1.27", "linux", &[], &["race"]);
        let past = past(&[plain.clone(), race.clone()]);
        assert_eq!(past.reason(Some(&setup(&plain))), Reason::Inputs);
        assert_eq!(past.reason(Some(&setup(&race))), Reason::Inputs);
    }

    #[test]
    fn drift_is_what_differs_among_builds_for_one_platform() {
        let mut past = past(&[
            build("go1.27", "linux", &[], &[]),
            build("go1.27", "windows", &[("CGO_ENABLED", "0")], &["race"]),
        ]);
        for kind in Kind::ALL {
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
        let drift = Kind::ALL.map(|it| past.drift(it));
        assert_eq!(drift, [1, 1, 0, 2, 0, 0]);
        // It is over when those that differed are no longer remembered.
        for _ in 0..REMEMBERED {
            past.note(setup(&other));
        }
        assert_eq!(Kind::ALL.map(|it| past.drift(it)), [0; 6]);
    }
}
