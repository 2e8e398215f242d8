//! Graphs as small texts, and properties on random graphs.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// One package a line: `p: its imports`, and `p ?` if they are not known. Imported packages without a line are not known either.
fn graph(text: &str) -> Imports {
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
    let of_package: BTreeMap<&str, Option<Vec<&str>>> = lines
        .map(|line| match line.split_once(':') {
            Some((package, imports)) => (package, Some(imports.split_whitespace().collect())),
            None => (line.trim_end_matches(" ?"), None),
        })
        .collect();
    let imported = of_package.values().flatten().flatten().copied();
    let packages: BTreeSet<&str> = of_package.keys().copied().chain(imported).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    let number = |name: &&str| u32::try_from(packages.iter().position(|it| it == name).unwrap());
    let imports = packages.iter().map(|package| {
        let imports = of_package.get(package)?.as_ref()?;
        Some(imports.iter().map(|it| number(it).unwrap()).collect())
    });
    Imports {
        imports: imports.collect(),
        packages: packages.iter().map(|it| ByteString::from(*it)).collect(),
    }
}

const PROGRAM: &str = "
    main: web log fmt
    web: tls log
    tls: crypto
    log: fmt
    crypto: fmt
    fmt:
";

fn names(graph: &ImportGraph<'_>, numbers: Option<Vec<u32>>) -> String {
    let Some(numbers) = numbers else {
        return "not known".to_owned();
    };
    let names = numbers
        .iter()
        .map(|it| graph.package(*it).unwrap().to_string());
    names.collect::<Vec<_>>().join(" ")
}

fn check_chain(text: &str, to: &str, expected: &Expect) {
    let imports = graph(text);
    let graph = ImportGraph::new(&imports);
    let [main, to] = ["main", to].map(|it| graph.number(it.as_bytes()));
    let chain = graph.chain(&[main.unwrap()], |it| Some(it) == to);
    expected.assert_eq(&names(&graph, chain));
}

fn check_retained(text: &str, removed: &[&str], expected: &Expect) {
    let imports = graph(text);
    let graph = ImportGraph::new(&imports);
    let main = [graph.number(b"main").unwrap()];
    let removed: Vec<u32> = removed
        .iter()
        .map(|it| graph.number(it.as_bytes()).unwrap())
        .collect();
    let retained = graph.reach(&main).and_then(|all| {
        let left = graph.reach_without(&main, |it| removed.contains(&it))?;
        Some(all.difference(&left).copied().collect())
    });
    expected.assert_eq(&names(&graph, retained));
}

#[test]
fn the_chain_is_the_shortest_one() {
    check_chain(PROGRAM, "fmt", &expect!["main fmt"]);
    check_chain(PROGRAM, "crypto", &expect!["main web tls crypto"]);
    check_chain(PROGRAM, "main", &expect!["main"]);
    check_chain(
        "main: a\na: main b\nb: a\nother: b",
        "other",
        &expect!["not known"],
    );
}

#[test]
fn packages_without_another_importer_are_retained() {
    check_retained(PROGRAM, &["web"], &expect!["crypto tls web"]);
    check_retained(PROGRAM, &["fmt"], &expect!["fmt"]);
    check_retained(PROGRAM, &["log"], &expect!["log"]);
    check_retained(PROGRAM, &["main"], &expect!["crypto fmt log main tls web"]);
    check_retained("main: a b\na: c\nb: c\nc:", &["a"], &expect!["a"]);
    check_retained("main: a b\na: c\nb: c\nc:", &["a", "b"], &expect!["a b c"]);
}

#[test]
fn unknown_imports_are_not_an_empty_list() {
    check_retained("main: a b\na: c\nb ?\nc:", &["a"], &expect!["not known"]);
    let imports = graph("main: a b\na: c\nb ?\nc:");
    let graph = ImportGraph::new(&imports);
    let [b, c] = ["b", "c"].map(|it| graph.number(it.as_bytes()).unwrap());
    let main = [graph.number(b"main").unwrap()];
    assert_eq!(graph.imports(b), None);
    assert_eq!(graph.imports(c), Some(&[][..]));
    assert_eq!(graph.number(b"none"), None);
    // Without `b`, no package with unknown imports stays.
    let left = graph.reach_without(&main, |it| it == b).unwrap();
    assert!(left.contains(&c) && !left.contains(&b));
}

#[test]
fn a_chain_of_10000_packages_exhausts_nothing() {
    let n = 10_000u32;
    let imports = Imports {
        packages: (0..n).map(|it| format!("p{it:05}").into()).collect(),
        imports: (0..n)
            .map(|it| Some((it + 1 < n).then_some(it + 1).into_iter().collect()))
            .collect(),
    };
    let graph = ImportGraph::new(&imports);
    let chain = graph.chain(&[0], |it| it == n - 1).unwrap();
    assert_eq!(chain.len(), 10_000);
    assert_eq!(graph.reach(&[0]).unwrap().len(), 10_000);
}

/// The packages on every path from the first package to each: the fixed point of the definition of dominators.
fn dominators(imports: &[Vec<u32>]) -> Vec<Option<BTreeSet<u32>>> {
    let mut of_package: Vec<Option<BTreeSet<u32>>> = vec![None; imports.len()];
    of_package[0] = Some(BTreeSet::from([0]));
    let mut has_changed = true;
    while has_changed {
        has_changed = false;
        for (importer, imported) in (0u32..).zip(imports) {
            let Some(above) = of_package[importer as usize].clone() else {
                continue;
            };
            for package in imported.iter().filter(|it| **it != 0) {
                let mut own = match &of_package[*package as usize] {
                    Some(own) => own.intersection(&above).copied().collect(),
                    None => above.clone(),
                };
                own.insert(*package);
                if of_package[*package as usize].as_ref() != Some(&own) {
                    of_package[*package as usize] = Some(own);
                    has_changed = true;
                }
            }
        }
    }
    of_package
}

/// Imports of up to twelve packages, cycles included.
fn any_imports() -> impl Strategy<Value = Vec<Vec<u32>>> {
    (1u32..12).prop_flat_map(|n| {
        let of_package = prop::collection::btree_set(0..n, 0..4);
        prop::collection::vec(
            of_package.prop_map(|it| it.into_iter().collect()),
            n as usize,
        )
    })
}

fn whole(imports: &[Vec<u32>]) -> Imports {
    Imports {
        packages: (0..imports.len())
            .map(|it| format!("p{it:02}").into())
            .collect(),
        imports: imports.iter().cloned().map(Some).collect(),
    }
}

proptest! {
    #[test]
    fn a_package_retains_what_it_dominates(imports in any_imports()) {
        let whole = whole(&imports);
        let graph = ImportGraph::new(&whole);
        let all = graph.reach(&[0]).unwrap();
        let dominators = dominators(&imports);
        for removed in 0..u32::try_from(imports.len()).unwrap() {
            let left = graph.reach_without(&[0], |it| it == removed).unwrap();
            let retained: Vec<u32> = all.difference(&left).copied().collect();
            let dominated = (0u32..).zip(&dominators);
            let dominated = dominated.filter(|(_, it)| it.as_ref().is_some_and(|it| it.contains(&removed)));
            prop_assert_eq!(retained, dominated.map(|it| it.0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_set_retains_at_least_what_its_packages_retain(imports in any_imports(), picks in prop::collection::vec(any::<bool>(), 12)) {
        let whole = whole(&imports);
        let graph = ImportGraph::new(&whole);
        let is_picked = |it: u32| picks[it as usize];
        let left = graph.reach_without(&[0], is_picked).unwrap();
        for one in (0..u32::try_from(imports.len()).unwrap()).filter(|it| is_picked(*it)) {
            let without_one = graph.reach_without(&[0], |it| it == one).unwrap();
            prop_assert!(left.is_subset(&without_one));
        }
    }

    #[test]
    fn a_lost_list_makes_an_answer_unknown_or_leaves_it(imports in any_imports(), lost in 0usize..12) {
        let whole = whole(&imports);
        let mut partial = whole.clone();
        if let Some(imports) = partial.imports.get_mut(lost) {
            *imports = None;
        }
        let [whole, partial] = [&whole, &partial].map(ImportGraph::new);
        for removed in 0..u32::try_from(imports.len()).unwrap() {
            let left = partial.reach_without(&[0], |it| it == removed);
            if let Some(left) = left {
                prop_assert_eq!(Some(left), whole.reach_without(&[0], |it| it == removed));
            }
        }
    }
}
