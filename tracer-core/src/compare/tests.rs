use super::*;
use crate::event::{Anatomy, Artifact, Ktime, PackageBytes, PackageSize, ProgramModule, Section};
use crate::finished::FinishedTrace;
use crate::model::{Action, Anomaly, Flag, FlagOrigin, Installed, Outcome, Output, State, Trace};
use crate::price::prices;
use crate::report::tests::trace;

/// A build with these calls (see [`trace`]), of the module `app`.
fn built(calls: &str) -> Trace {
    let mut trace = trace(2, 1000, calls);
    trace.host = Some("one".to_owned());
    trace.builds[0].module = Some("app".to_owned());
    trace
}

/// Adds build actions: `PACKAGE` executed, `=PACKAGE` cached.
fn act(trace: &mut Trace, packages: &str) {
    let actions = packages.split_whitespace().map(|it| {
        let cached = it.strip_prefix('=');
        Action {
            mode: "build".to_owned(),
            package: Some(cached.unwrap_or(it).into()),
            start: Ktime(0),
            end: Some(Ktime(1)),
            outcome: if cached.is_some() {
                Outcome::Cached
            } else {
                Outcome::Executed
            },
            calls: Vec::new(),
        }
    });
    trace.builds[0].actions = actions.collect();
}

fn compared(before: Trace, after: Trace) -> Comparison {
    explained(before, after, &Explanation::default())
}

fn explained(before: Trace, after: Trace, explanation: &Explanation) -> Comparison {
    let sides = [before, after].map(FinishedTrace::of);
    let builds = sides.each_ref().map(|it| it.builds().next().unwrap());
    let prices = builds.map(|it| prices(it, &std::collections::BTreeMap::new()));
    let [before, after] = [0, 1].map(|it: usize| Compared {
        build: builds[it],
        explanation,
        prices: &prices[it],
    });
    compare(before, after)
}

const TWO: &str = "2<1 compile a 0..500 400 in=app
                   3<1 compile b 500..900 300 in=lib@v1.0.0";

fn ms(ns: Option<u64>) -> Option<u64> {
    ns.map(|it| it / 1_000_000)
}

#[test]
fn equal_builds_do_not_differ() {
    let mut one = built(TWO);
    act(&mut one, "a b =c");
    let same = compared(one.clone(), one);
    assert_eq!(same.caveats, []);
    assert_eq!((same.tools.len(), same.compiler_phases.len()), (0, 0));
    assert_eq!((same.modules.len(), same.programs.len()), (0, 0));
    let texts = [same.settings, same.source, same.machine];
    assert!(texts.iter().all(Vec::is_empty), "{texts:?}");
    assert!(same.time.iter().all(|it| it.before_ns == it.after_ns));
    assert_eq!(same.shared.packages, 2);
    assert_eq!(ms(Some(same.shared.after_cpu_ns)), Some(700));
}

#[test]
fn packages_from_the_cache_are_the_first_thing_to_know() {
    let mut cold = built(TWO);
    act(&mut cold, "a b");
    let mut warm = built("2<1 compile a 0..500 450 in=app");
    act(&mut warm, "a =b");
    let it = compared(cold.clone(), warm.clone());
    let cached = |side| Caveat::OtherCache {
        side,
        packages: 1,
        cpu_ns: 300_000_000,
    };
    assert_eq!(it.caveats, [cached(Side::Before)]);
    let rows = it.packages.iter();
    let rows: Vec<_> = rows
        .map(|it| (it.package.to_string(), it.before, it.after))
        .collect();
    let (compiled, from_cache) = (PackageState::Compiled, PackageState::Cached);
    assert_eq!(
        rows,
        [
            ("b".to_owned(), compiled, from_cache),
            ("a".to_owned(), compiled, compiled)
        ]
    );
    let shared = &it.shared;
    let cpu = [shared.before_cpu_ns, shared.after_cpu_ns].map(|it| it / 1_000_000);
    assert_eq!((shared.packages, cpu), (1, [400, 450]));
    assert_eq!(compared(warm, cold).caveats, [cached(Side::After)]);
}

/// A package without an action is not reported as cached.
#[test]
fn an_absent_package_is_not_a_cached_one() {
    let mut before = built(TWO);
    act(&mut before, "a b");
    let mut after = built("2<1 compile a 0..500 400 in=app");
    act(&mut after, "a");
    let it = compared(before.clone(), after.clone());
    assert_eq!(it.caveats, []);
    assert_eq!(it.packages[0].after, PackageState::Absent);
    // Without the span probes, the outcome of the package is not known.
    after.builds[0].actions.clear();
    let it = compared(before, after);
    assert_eq!(it.caveats, [Caveat::NoActions { side: Side::After }]);
    assert_eq!(it.packages[0].after, PackageState::NotKnown);
}

#[test]
fn caveats_name_what_differs_around_the_builds() {
    let mut before = built(TWO);
    act(&mut before, "a b");
    let mut after = before.clone();
    after.host = Some("two".to_owned());
    after.cpus = 8;
    let build = &mut after.builds[0];
    build.module = None;
    build.command.packages = vec!["./...".into()];
    build.toolchain.goos = Some("windows".to_owned());
    build.status = None;
    build.end = None;
    build.anomalies.push(Anomaly::Unreadable { n: 1 });
    let it = compared(before, after);
    let text = |it: &str| Some(it.to_owned());
    assert_eq!(
        it.caveats,
        [
            Caveat::OtherProject {
                before: text("app"),
                after: None
            },
            Caveat::OtherCommand {
                before: "build".to_owned(),
                after: "build ./...".to_owned()
            },
            Caveat::OtherPlatform {
                before: "not known/not known".to_owned(),
                after: "windows/not known".to_owned()
            },
            Caveat::NotSucceeded {
                side: Side::After,
                state: State::Unknown
            },
            Caveat::OtherMachine {
                before: text("one"),
                after: text("two")
            },
            Caveat::OtherCpus {
                before: 2,
                after: 8
            },
            Caveat::Gaps {
                side: Side::After,
                anomalies: 1
            },
        ]
    );
    let machine = it.machine.iter();
    let machine: Vec<&str> = machine.map(|it| it.name.as_str()).collect();
    assert_eq!(machine, ["CPUs", "host"]);
}

#[test]
fn settings_are_compared_by_name() {
    let flag = |name: &str, value: Option<&str>| Flag {
        name: name.to_owned(),
        value: value.map(Into::into),
        origin: FlagOrigin::Argv,
    };
    let mut before = built("");
    before.builds[0].command.flags = vec![flag("race", None), flag("tags", Some("a"))];
    let env = [("CGO_ENABLED", "1"), ("GOPROXY", "off")];
    before.builds[0].env = env.map(|(name, it)| (name.to_owned(), it.into())).into();
    let mut after = before.clone();
    after.builds[0].command.flags = vec![flag("tags", Some("a")), flag("trimpath", None)];
    after.builds[0]
        .env
        .insert("CGO_ENABLED".to_owned(), "0".into());
    after.builds[0].goflags.value = "-mod=mod".into();
    after.builds[0].goflags.origin = crate::model::Origin::UserFile("/home/go/env".into());
    let rows = compared(before, after).settings;
    let rows: Vec<_> = rows
        .iter()
        .map(|it| {
            let or_none = |it: &Option<String>| it.clone().unwrap_or_else(|| "none".to_owned());
            format!(
                "{}: {} > {}",
                it.name,
                or_none(&it.before),
                or_none(&it.after)
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            "-race: true > none",
            "-trimpath: none > true",
            "CGO_ENABLED: 1 > 0",
            "GOFLAGS: none > -mod=mod (/home/go/env)",
        ]
    );
}

#[test]
fn a_module_has_one_row_for_both_versions() {
    let with = |version: &str, cpu: u64| {
        let calls = format!("2<1 compile b 0..500 {cpu} in=lib");
        let mut trace = built(&calls);
        let module = trace.builds[0].calls[0].module.as_mut();
        module.unwrap().version = Some(version.to_owned());
        trace
    };
    let (before, after) = (with("v1.0.0", 300), with("v1.1.0", 350));
    let modules = compared(before, after).modules;
    assert_eq!(modules.len(), 1, "{modules:?}");
    let text = |it: &str| Some(it.to_owned());
    assert_eq!(
        modules[0],
        ModuleChange {
            path: text("lib"),
            before_version: text("v1.0.0"),
            after_version: text("v1.1.0"),
            before_cpu_ns: Some(300_000_000),
            after_cpu_ns: Some(350_000_000),
        }
    );
}

/// Causes need the keys of both builds, or a build that did nothing.
#[test]
fn causes_are_absent_without_keys() {
    let without = Explanation::default();
    let with = Explanation {
        has_keys: true,
        ..Explanation::default()
    };
    let compare = |calls: &str, explanation: &Explanation| {
        explained(built(calls), built(calls), explanation).causes
    };
    assert_eq!(compare(TWO, &without), None);
    assert_eq!(compare(TWO, &with), Some(Vec::new()));
    assert_eq!(compare("", &without), Some(Vec::new()));
}

/// A program of `size` bytes with one package of `lib`, and whether the linker dropped methods.
fn with_program(size: u64, version: &str, lib_bytes: u64, drops_methods: bool) -> Trace {
    let mut trace = built("");
    let module = |path: &str, version: Option<&str>| ProgramModule {
        path: path.to_owned(),
        version: version.map(str::to_owned),
        is_dependency: version.is_some(),
    };
    let package = |path: &str, module, bytes| PackageSize {
        path: path.to_owned(),
        module,
        bytes,
        init_functions: None,
    };
    let anatomy = Anatomy {
        sections: vec![Section {
            name: ".text".to_owned(),
            size: size / 2,
            ..Section::default()
        }],
        packages: Some(PackageBytes {
            modules: vec![module("app", None), module("lib", Some(version))],
            list: vec![package("main", 0, 100), package("lib/x", 1, lib_bytes)],
            n: 2,
        }),
        drops_methods: Some(drops_methods),
        reflect_uses: (!drops_methods)
            .then(|| "text/template.exec".to_owned())
            .into_iter()
            .collect(),
        ..Anatomy::default()
    };
    trace.builds[0].outputs.push(Output {
        path: "/out/app".into(),
        package: Some("app".into()),
        how: Installed::Renamed,
        at: Ktime(0),
        artifact: Some(Artifact {
            size,
            sha256: format!("{size}"),
            main_package: Some("app".to_owned()),
            anatomy: Some(Box::new(anatomy)),
            ..Artifact::default()
        }),
        unread: None,
    });
    trace
}

#[test]
fn a_program_is_compared_at_every_grain() {
    let it = compared(
        with_program(10_000, "v1.0.0", 500, true),
        with_program(12_000, "v1.1.0", 900, false),
    );
    let [program] = it.programs.as_slice() else {
        panic!("{:?}", it.programs)
    };
    assert_eq!(program.package, "app");
    assert!(!program.is_same);
    let sizes = (program.before_bytes, program.after_bytes);
    assert_eq!(sizes, (Some(10_000), Some(12_000)));
    let row = |it: &BytesChange| (it.name.clone(), it.before_bytes, it.after_bytes);
    assert_eq!(
        program.sections.iter().map(row).collect::<Vec<_>>(),
        [(".text".to_owned(), Some(5000), Some(6000))]
    );
    assert_eq!(
        program.packages.iter().map(row).collect::<Vec<_>>(),
        [("lib/x".to_owned(), Some(500), Some(900))]
    );
    let [module] = program.modules.as_slice() else {
        panic!("{:?}", program.modules)
    };
    assert_eq!(module.path, "lib");
    assert_eq!(module.after_version.as_deref(), Some("v1.1.0"));
    let methods = (program.before_drops_methods, program.after_drops_methods);
    assert_eq!(methods, (Some(true), Some(false)));
    let uses = program.new_reflect_uses.iter();
    let uses: Vec<&str> = uses.map(|it| it.function.as_str()).collect();
    assert_eq!(uses, ["text/template.exec"]);
}

#[test]
fn a_program_of_one_build_has_no_grains() {
    let it = compared(built(""), with_program(10_000, "v1.0.0", 500, true));
    let program = &it.programs[0];
    assert_eq!(
        (program.before_bytes, program.after_bytes),
        (None, Some(10_000))
    );
    assert!(program.packages.is_empty() && program.modules.is_empty());
}
