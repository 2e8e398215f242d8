//! The import graph from the keys of packages that came from the build cache.

use super::*;

/// A `go` command that considers packages. Each is `PACKAGE: LINES`, lines separated by a semicolon; the line of its own name is added.
/// A package that ends with `!` has an unfinished key.
fn graph_with(packages: &str, more: &str) -> String {
    let mut text = "0 exec 100 /go/bin/go build .\n".to_owned();
    let packages = packages.lines().map(str::trim).filter(|it| !it.is_empty());
    for ((package, lines), hash) in packages.map(|it| it.split_once(':').unwrap()).zip(7..) {
        let (package, is_closed) = match package.strip_suffix('!') {
            Some(package) => (package, false),
            None => (package, true),
        };
        let path = package.split(' ').next().unwrap();
        writeln!(text, "1 span 100 {hash} Executing action (build {package})").unwrap();
        writeln!(text, "1 key 100 {hash} build {path}").unwrap();
        writeln!(text, "1 line 100 {hash} {hash} go1.27.3").unwrap();
        writeln!(text, "1 line 100 {hash} {hash} import \"{path}\"").unwrap();
        for line in lines.split(';').map(str::trim).filter(|it| !it.is_empty()) {
            writeln!(text, "1 line 100 {hash} {hash} {line}").unwrap();
        }
        if is_closed {
            writeln!(text, "1 sum 100 {hash} {hash}").unwrap();
        }
        writeln!(text, "1 done 100 {hash}").unwrap();
    }
    writeln!(text, "{more}\n9 exit 100 0").unwrap();
    let (trace, _) = replay(events(&text));
    let Some(imports) = &trace.builds[0].imports else {
        return "no graph".to_owned();
    };
    assert_eq!(imports.packages.len(), imports.imports.len());
    let name = |it: &u32| imports.packages[*it as usize].to_string();
    let rows = imports.packages.iter().zip(&imports.imports);
    let rows = rows.map(|(package, of_package)| match of_package {
        Some(of_package) => {
            let names: Vec<String> = of_package.iter().map(name).collect();
            format!("{package}: {}", names.join(", "))
        }
        None => format!("{package}: not known"),
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn check(packages: &str, expected: &Expect) {
    expected.assert_eq(&graph_with(packages, ""));
}

#[test]
fn hits_have_imports() {
    check(
        "example.com/hello: file main.go x; import fmt aaa; import unsafe bbb
         fmt: import io ccc
         io:",
        &expect![[r"
            example.com/hello: fmt, unsafe
            fmt: io
            io: 
            unsafe: "]],
    );
}

#[test]
fn a_test_variant_imports_variants_where_they_exist() {
    check(
        "p: import fmt a
         p [p.test]: import fmt a; import testing b
         q [p.test]: import p c
         p_test [p.test]: import p d; import q e
         p.test: import p d; import p_test e; import testing f
         fmt:
         testing:",
        &expect![[r"
            fmt: 
            p: fmt
            p [p.test]: fmt, testing
            p.test: p [p.test], p_test [p.test], testing
            p_test [p.test]: p [p.test], q [p.test]
            q [p.test]: p [p.test]
            testing: "]],
    );
}

#[test]
fn the_action_that_runs_cgo_is_no_import() {
    check(
        "net: import net x; import os y",
        &expect![[r"
        net: os
        os: not known"]],
    );
}

#[test]
fn a_line_that_is_not_whole_makes_imports_unknown() {
    check(
        "a: import fmt x; other line
         b: cut import fm
         c: cut modinfo long
         d!: import fmt x
         e: missing",
        &expect![[r"
            a: fmt
            b: not known
            c: 
            d: not known
            e: not known
            fmt: not known"]],
    );
}

#[test]
fn after_a_loss_no_hit_has_imports() {
    let packages = "a: import b x\nb:";
    let lost = graph_with(packages, "5 lost 3 call");
    expect![[r"
        a: not known
        b: not known"]]
    .assert_eq(&lost);
    let others = graph_with(packages, "5 lost 3 exit");
    expect![[r"
        a: b
        b: "]]
    .assert_eq(&others);
}

#[test]
fn without_keys_there_is_no_graph() {
    assert_eq!(graph_with("", ""), "no graph");
}
