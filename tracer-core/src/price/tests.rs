//! Programs as small texts: packages with their module, bytes and imports.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::event::{Artifact, Ktime, PackageSize};
use crate::finished::FinishedTrace;
use crate::model::{Imports, Installed, Trace};
use crate::report::tests::trace;

/// A program: `PACKAGE MODULE BYTES: IMPORTS`, `?` if they are not known. `-` as bytes: not in the file. The main module is `app`.
fn program(text: &str) -> (PackageBytes, Imports) {
    let mut bytes = PackageBytes::default();
    let mut rows: BTreeMap<&str, &str> = BTreeMap::new();
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
    for line in lines {
        let (head, imports) = line.split_once(':').unwrap();
        let [path, module, size] = *head.split_whitespace().collect::<Vec<_>>() else {
            panic!("{line}");
        };
        rows.insert(path, imports);
        let known = bytes.modules.iter().position(|it| it.path == module);
        let number = known.unwrap_or(bytes.modules.len());
        if known.is_none() {
            bytes.modules.push(ProgramModule {
                path: module.to_owned(),
                version: None,
                is_dependency: !matches!(module, "std" | "app"),
            });
        }
        if let Ok(size) = size.parse() {
            let path = if path == "app" { MAIN } else { path };
            bytes.list.push(PackageSize {
                path: path.to_owned(),
                module: u32::try_from(number).unwrap(),
                bytes: size,
                init_functions: Some(2),
            });
        }
    }
    bytes.n = bytes.list.len() as u64;
    let packages: Vec<&str> = rows.keys().copied().collect();
    let number = |name: &str| u32::try_from(packages.binary_search(&name).unwrap()).unwrap();
    let imports = rows.values().map(|it| {
        let names = it.split_whitespace();
        (!it.contains('?')).then(|| names.map(number).collect())
    });
    let imports = Imports {
        imports: imports.collect(),
        packages: packages.iter().map(|it| ByteString::from(*it)).collect(),
    };
    (bytes, imports)
}

/// A build that made the program, of 10,000 bytes. `calls` are lines of [`trace`].
fn built(packages: Option<PackageBytes>, imports: Option<Imports>, calls: &str) -> FinishedTrace {
    let mut trace: Trace = trace(2, 1000, calls);
    let build = &mut trace.builds[0];
    build.imports = imports;
    let anatomy = Anatomy {
        packages,
        drops_methods: Some(false),
        reflect_uses: vec![
            "reflect.Value.Method".to_owned(),
            "text/template.(*state).evalField".to_owned(),
        ],
        ..Anatomy::default()
    };
    build.outputs.push(Output {
        path: "/out/app".into(),
        package: Some("app".into()),
        how: Installed::Renamed,
        at: Ktime(0),
        artifact: Some(Artifact {
            size: 10_000,
            main_package: Some("app".to_owned()),
            anatomy: Some(Box::new(anatomy)),
            ..Artifact::default()
        }),
        unread: None,
    });
    FinishedTrace::of(trace)
}

fn prices_of(finished: &FinishedTrace, earlier: &[(&str, u64)]) -> ProgramPrice {
    let earlier = earlier.iter().map(|(it, cpu)| ((*it).into(), *cpu));
    let mut prices = prices(finished.builds().next().unwrap(), &earlier.collect());
    assert_eq!(prices.programs.len(), 1);
    prices.programs.remove(0)
}

fn text(price: &ProgramPrice) -> String {
    let known = |it: Option<u64>| it.map_or_else(|| "?".to_owned(), |it| it.to_string());
    let joined = |it: &Option<Vec<ByteString>>| {
        let names = it.as_ref().map(|it| it.iter().map(ToString::to_string));
        names.map_or_else(|| "?".to_owned(), |it| it.collect::<Vec<_>>().join(">"))
    };
    let rows = price.modules.iter().map(|it| {
        format!(
            "{}: own {} init {} retained {} ({} of the file) of {} packages {} cpu {} ({} retained) without {} link {} by {}",
            it.path,
            it.own_bytes,
            known(it.init_functions),
            known(it.retained_bytes),
            known(it.retained_file_bytes),
            known(it.retained_packages),
            it.packages,
            known(it.compile_cpu_ns),
            known(it.retained_compile_cpu_ns),
            it.packages_without_cpu,
            known(it.link_cpu_ns),
            joined(&it.chain)
        )
    });
    let uses = price.reflect_uses.iter();
    let uses = uses.map(|it| format!("{} by {}", it.function, joined(&it.chain)));
    let missing = price.missing.iter().map(|it| format!("missing {it:?}"));
    rows.chain(uses)
        .chain(missing)
        .collect::<Vec<_>>()
        .join("\n")
}

fn check(program_text: &str, calls: &str, earlier: &[(&str, u64)], expected: &Expect) {
    let (packages, imports) = program(program_text);
    let finished = built(Some(packages), Some(imports), calls);
    expected.assert_eq(&text(&prices_of(&finished, earlier)));
}

const WEB: &str = "
    app app 100: web/router log fmt
    web/router web 200: web/tls log
    web/tls web 50: crypto/x text/template
    crypto/x crypto 1000: fmt
    log log 30: fmt
    fmt std 500:
    text/template std 70: reflect
    reflect std 10:
";

#[test]
fn a_module_retains_what_only_it_needs() {
    check(
        WEB,
        "2<1 compile web/router 10..110 50
         3<1 link app 120..220 40",
        &[("log", 7)],
        &expect![[r#"
            web: own 250 init 4 retained 1330 (6785 of the file) of 5 packages 2 cpu 50000000 (50000000 retained) without 1 link 1000000 by app>web/router
            crypto: own 1000 init 2 retained 1000 (5102 of the file) of 1 packages 1 cpu ? (? retained) without 1 link 4000000 by app>web/router>web/tls>crypto/x
            log: own 30 init 2 retained 30 (153 of the file) of 1 packages 1 cpu 7 (7 retained) without 0 link 120000 by app>log
            reflect.Value.Method by ?
            text/template.(*state).evalField by app>web/router>web/tls>text/template"#]],
    );
}

#[test]
fn a_package_without_bytes_belongs_to_the_module_around_it() {
    check(
        "app app 100: web/empty
         web/empty web -: web/full
         web/full web 10: dep
         dep dep 5:",
        "",
        &[],
        &expect![[r#"
            web: own 10 init 2 retained 15 (1304 of the file) of 3 packages 2 cpu ? (? retained) without 2 link ? by app>web/empty
            dep: own 5 init 2 retained 5 (434 of the file) of 1 packages 1 cpu ? (? retained) without 1 link ? by app>web/empty>web/full>dep
            reflect.Value.Method by ?
            text/template.(*state).evalField by ?"#]],
    );
}

#[test]
fn without_the_graph_nothing_is_retained_by_guess() {
    let (packages, imports) = program(WEB);
    let finished = built(Some(packages.clone()), None, "");
    expect![[r#"
        crypto: own 1000 init 2 retained ? (? of the file) of ? packages 1 cpu ? (? retained) without 1 link ? by ?
        web: own 250 init 4 retained ? (? of the file) of ? packages 2 cpu ? (? retained) without 2 link ? by ?
        log: own 30 init 2 retained ? (? of the file) of ? packages 1 cpu ? (? retained) without 1 link ? by ?
        reflect.Value.Method by ?
        text/template.(*state).evalField by ?
        missing Imports"#]]
    .assert_eq(&text(&prices_of(&finished, &[])));
    let none = built(None, Some(imports.clone()), "");
    assert_eq!(prices_of(&none, &[]).missing, [Missing::Packages]);
    let of = |change: &dyn Fn(&mut PackageBytes, &mut Imports)| {
        let (mut packages, mut imports) = (packages.clone(), imports.clone());
        change(&mut packages, &mut imports);
        let price = prices_of(&built(Some(packages), Some(imports), ""), &[]);
        (price.missing, price.modules[0].retained_bytes)
    };
    let lost = of(&|_, imports| imports.imports[3] = None);
    assert_eq!(lost, (vec![Missing::SomeImports], None));
    let other = of(&|_, imports| imports.packages[0] = "a".into());
    assert_eq!(other, (vec![Missing::MainPackage], None));
    let more = of(&|packages, _| packages.n += 1);
    assert_eq!(more, (vec![Missing::SomePackages], Some(1330)));
}

/// Programs of up to twelve packages in four modules.
fn any_program() -> impl Strategy<Value = (PackageBytes, Imports)> {
    let package = (
        0u32..4,
        0u64..1000,
        prop::collection::btree_set(0u32..12, 0..4),
    );
    prop::collection::vec(package, 1..12).prop_map(|rows| {
        let n = u32::try_from(rows.len()).unwrap();
        let path = |it: u32| {
            if it == 0 {
                "app".to_owned()
            } else {
                format!("m/p{it:02}")
            }
        };
        let modules = ["app", "a", "b", "c"].map(|it| ProgramModule {
            path: it.to_owned(),
            version: None,
            is_dependency: it != "app",
        });
        let list = (0..n)
            .zip(&rows)
            .map(|(number, (module, bytes, _))| PackageSize {
                path: path(number),
                module: if number == 0 { 0 } else { *module },
                bytes: *bytes,
                init_functions: None,
            });
        let bytes = PackageBytes {
            modules: modules.to_vec(),
            list: list.collect(),
            n: u64::from(n),
        };
        let imports = rows
            .iter()
            .map(|(_, _, imports)| Some(imports.iter().copied().filter(|it| *it < n).collect()));
        (
            bytes,
            Imports {
                packages: (0..n).map(|it| path(it).into()).collect(),
                imports: imports.collect(),
            },
        )
    })
}

proptest! {
    #[test]
    fn retained_bytes_lie_between_own_bytes_and_all((packages, imports) in any_program()) {
        let sum: u64 = packages.list.iter().map(|it| it.bytes).sum();
        let own: u64 = packages.list.iter().filter(|it| it.module != 0).map(|it| it.bytes).sum();
        let finished = built(Some(packages), Some(imports), "");
        let price = prices_of(&finished, &[]);
        for module in &price.modules {
            let retained = module.retained_bytes.unwrap();
            prop_assert!(module.own_bytes <= retained && retained <= sum, "{module:?}");
            prop_assert!(module.retained_file_bytes.unwrap_or(0) <= price.size, "{module:?}");
        }
        prop_assert_eq!(price.modules.iter().map(|it| it.own_bytes).sum::<u64>(), own);
    }
}
