//! The prices of the modules in programs, as text.

use std::io::{self, Write};

use tracer_core::byte_string::ByteString;
use tracer_core::model::Build;
use tracer_core::price::{Missing, ModulePrice, ProgramPrice};

use super::style::{Line, Page, Paint, Style, Table};
use super::units;

/// Largest number of modules in a table.
const ROWS: usize = 30;
const NOT_KNOWN: &str = "not known";
/// Width of the labels.
const LABEL: usize = 13;

/// Writes a table for each program.
pub fn prices(
    build: &Build,
    prices: &[ProgramPrice],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style);
    let words: Vec<_> = build.command.argv.iter().map(ByteString::to_str).collect();
    page.line(Line::painted(Paint::Bold, &words.join(" ")));
    if prices.is_empty() {
        page.line(Line::plain(
            "  The build made no program that gotrace read.",
        ));
    }
    for price in prices {
        page.gap();
        put(&mut page, price);
    }
    page.write(out)
}

fn put(page: &mut Page<'_>, price: &ProgramPrice) {
    let head = Line::plain("  ").then_painted(Paint::Bold, &price.path.to_str());
    let link = match price.link_cpu_ns {
        Some(cpu_ns) => format!("; the link took {} of CPU", units::span(cpu_ns)),
        None => String::new(),
    };
    page.sentence(
        head.then("  "),
        &format!("{}{link}", units::size(price.size)),
        2,
    );
    methods(page, price);
    if !price.modules.is_empty() {
        page.gap();
        table(page, price);
        page.gap();
        chains(page, price);
        notes(page, price);
    } else if !price.missing.contains(&Missing::Packages) {
        page.line(Line::plain("  It contains no package of another module."));
    }
    for missing in &price.missing {
        let head = Line::plain("  ").then_painted(Paint::Warn, page.style().bullet());
        page.sentence(head.then(" "), sentence(*missing), 2);
    }
}

/// The state of the linker's elimination of methods, and its reason.
fn methods(page: &mut Page<'_>, price: &ProgramPrice) {
    let text = match price.drops_methods {
        Some(true) => "the linker dropped methods that are never called",
        Some(false) => {
            "the linker kept all exported methods, which makes each module larger. \
             The program can find methods by name:"
        }
        None => "not known whether the linker dropped methods that are never called",
    };
    page.sentence(label("Methods"), text, 3);
    let callers = price.reflect_uses.iter();
    let callers = callers.filter_map(|it| Some((it, it.chain.as_ref()?)));
    let mut has_caller = false;
    for (it, chain) in callers {
        has_caller = true;
        let chain = format!("by {}", arrows(page, chain));
        page.sentence(label("").then(&it.function).then(", "), &chain, 3);
    }
    if !has_caller && price.drops_methods == Some(false) {
        page.line(label("").then("the caller is not known"));
    }
}

fn table(page: &mut Page<'_>, price: &ProgramPrice) {
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    let mut table = Table::of_paths();
    table.row(
        [
            "  Module",
            "own",
            "retained",
            "of the file",
            "packages",
            "init",
            "compile CPU",
            "link CPU",
        ]
        .map(dim)
        .to_vec(),
    );
    for module in price.modules.iter().take(ROWS) {
        let retained = module.retained_bytes.map(units::size);
        let compile = module.compile_cpu_ns.map(|it| {
            let from = if module.packages_without_cpu > 0 {
                "from "
            } else {
                ""
            };
            format!("{from}{}", units::span(it))
        });
        let or_not_known = |it: Option<String>| it.unwrap_or_else(|| NOT_KNOWN.to_owned());
        table.row(vec![
            Line::plain("  ").then(&name(module)),
            Line::plain(&units::size(module.own_bytes)),
            Line::plain(&or_not_known(retained)),
            Line::plain(&or_not_known(module.retained_file_bytes.map(units::size))),
            Line::plain(&units::count(module.packages)),
            Line::plain(&or_not_known(module.init_functions.map(units::count))),
            Line::plain(&or_not_known(compile)),
            Line::plain(&or_not_known(module.link_cpu_ns.map(units::span))),
        ]);
    }
    table.put(page, &Line::default(), 24);
    let more = price.modules.len().saturating_sub(ROWS);
    if more > 0 {
        page.line(dim(&format!("  and {more} more modules")));
    }
}

/// The chain of imports to each module.
fn chains(page: &mut Page<'_>, price: &ProgramPrice) {
    let listed = price.modules.iter().take(ROWS);
    let known = listed.filter_map(|it| Some((it, it.chain.as_ref()?)));
    for (n, (module, chain)) in known.enumerate() {
        let head = label(if n == 0 { "Required" } else { "" });
        let text = format!("{} by {}", module.path, arrows(page, chain));
        page.sentence(head, &text, 3);
    }
}

fn notes(page: &mut Page<'_>, price: &ProgramPrice) {
    let dim = |text: &str| Line::painted(Paint::Dim, text);
    if price.modules.iter().any(|it| it.retained_bytes.is_some()) {
        let text =
            "retained: bytes of all packages that the program would not need without the module";
        page.sentence(dim("  "), text, 2);
        let text = "of the file: an estimate, mostly too low: retained bytes with their share of debug information and symbol table";
        page.sentence(dim("  "), text, 2);
    }
    if price.modules.iter().any(|it| it.init_functions.is_some()) {
        let text = "init: functions of its packages that run when the program starts";
        page.sentence(dim("  "), text, 2);
    }
    if price.modules.iter().any(|it| it.packages_without_cpu > 0) {
        let text = "compile CPU: the time of some packages is not known, because no build of the history compiled them";
        page.sentence(dim("  "), text, 2);
    }
    if price.link_cpu_ns.is_some() {
        let text = "link CPU: an estimate, the time of the link divided by bytes";
        page.sentence(dim("  "), text, 2);
    }
}

/// The sentence for a missing fact.
pub(super) fn sentence(missing: Missing) -> &'static str {
    match missing {
        Missing::Packages => {
            "The bytes of the packages are not known: gotrace did not analyse this output, or an earlier version did."
        }
        Missing::SomePackages => {
            "The program has more packages than gotrace stores. The smallest are missing."
        }
        Missing::Imports => {
            "The imports are not known: the build has no cache keys (`--detail cache-key`)."
        }
        Missing::MainPackage => "The imports of the main package were not recorded.",
        Missing::SomeImports => "Records were lost, so the imports of some packages are not known.",
    }
}

fn name(module: &ModulePrice) -> String {
    match &module.version {
        Some(version) => format!("{}@{version}", module.path),
        None => module.path.clone(),
    }
}

fn arrows(page: &Page<'_>, chain: &[ByteString]) -> String {
    let names: Vec<_> = chain.iter().map(ByteString::to_str).collect();
    names.join(&format!(" {} ", page.style().arrow()))
}

fn label(name: &str) -> Line {
    Line::painted(Paint::Dim, &format!("  {name}")).pad_to(LABEL)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::render::sample;
    use tracer_core::price::ReflectUse;

    fn module(path: &str, own_bytes: u64, retained_bytes: Option<u64>) -> ModulePrice {
        let chain = ["example.com/app", path].map(ByteString::from).to_vec();
        ModulePrice {
            path: path.to_owned(),
            version: Some("v1.2.0".to_owned()),
            packages: 3,
            own_bytes,
            init_functions: retained_bytes.map(|_| 4),
            retained_bytes,
            retained_file_bytes: retained_bytes.map(|it| it * 3 / 2),
            retained_packages: retained_bytes.map(|_| 9),
            compile_cpu_ns: retained_bytes.map(|it| it * 100),
            retained_compile_cpu_ns: retained_bytes.map(|it| it * 120),
            packages_without_cpu: u64::from(own_bytes > 100_000),
            link_cpu_ns: Some(own_bytes * 10),
            chain: retained_bytes.map(|_| chain),
        }
    }

    fn check(price: ProgramPrice, expected: &expect_test::Expect) {
        let trace = sample::cold();
        let mut out = Vec::new();
        prices(&trace.builds[0], &[price], &Style::plain(100), &mut out).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    fn price(modules: Vec<ModulePrice>, missing: Vec<Missing>) -> ProgramPrice {
        ProgramPrice {
            path: "/out/app".into(),
            package: Some("example.com/app".into()),
            size: 11_091_246,
            link_cpu_ns: Some(713_000_000),
            drops_methods: None,
            reflect_uses: Vec::new(),
            modules,
            missing,
        }
    }

    #[test]
    fn modules_have_a_row_and_a_chain() {
        let chain = ["example.com/app", "html/template", "text/template"];
        let uses = vec![
            ReflectUse {
                function: "reflect.Value.Method".to_owned(),
                chain: None,
            },
            ReflectUse {
                function: "text/template.(*state).evalField".to_owned(),
                chain: Some(chain.map(ByteString::from).to_vec()),
            },
        ];
        let modules = vec![
            module("example.com/web", 423_000, Some(3_820_000)),
            module("example.com/log", 5_000, Some(5_000)),
        ];
        let price = ProgramPrice {
            drops_methods: Some(false),
            reflect_uses: uses,
            ..price(modules, Vec::new())
        };
        check(
            price,
            &expect![[r#"
                go build -o bin/hello ./cmd/hello

                  /out/app  11.09 MB; the link took 713 ms of CPU
                  Methods    the linker kept all exported methods, which makes each module larger. The program can
                             find methods by name:
                             text/template.(*state).evalField, by example.com/app → html/template → text/template

                  Module                       own  retained  of the file  packages  init  compile CPU  link CPU
                  example.com/web@v1.2.0  423.0 kB   3.82 MB      5.73 MB         3     4  from 382 ms  4.2 ms
                  example.com/log@v1.2.0    5.0 kB    5.0 kB       7.5 kB         3     4       500 µs  50 µs

                  Required   example.com/web by example.com/app → example.com/web
                             example.com/log by example.com/app → example.com/log
                  retained: bytes of all packages that the program would not need without the module
                  of the file: an estimate, mostly too low: retained bytes with their share of debug information and
                  symbol table
                  init: functions of its packages that run when the program starts
                  compile CPU: the time of some packages is not known, because no build of the history compiled them
                  link CPU: an estimate, the time of the link divided by bytes
            "#]],
        );
    }

    #[test]
    fn missing_facts_are_named() {
        check(
            price(
                vec![module("example.com/web", 5_000, None)],
                vec![Missing::Imports],
            ),
            &expect![[r#"
                go build -o bin/hello ./cmd/hello

                  /out/app  11.09 MB; the link took 713 ms of CPU
                  Methods    not known whether the linker dropped methods that are never called

                  Module                     own   retained  of the file  packages       init  compile CPU  link CPU
                  example.com/web@v1.2.0  5.0 kB  not known    not known         3  not known    not known  50 µs

                  link CPU: an estimate, the time of the link divided by bytes
                  ▲ The imports are not known: the build has no cache keys (`--detail cache-key`).
            "#]],
        );
        check(
            price(Vec::new(), vec![Missing::Packages]),
            &expect![[r#"
            go build -o bin/hello ./cmd/hello

              /out/app  11.09 MB; the link took 713 ms of CPU
              Methods    not known whether the linker dropped methods that are never called
              ▲ The bytes of the packages are not known: gotrace did not analyse this output, or an earlier
                version did.
        "#]],
        );
        let none = ProgramPrice {
            drops_methods: Some(true),
            ..price(Vec::new(), Vec::new())
        };
        check(
            none,
            &expect![[r#"
            go build -o bin/hello ./cmd/hello

              /out/app  11.09 MB; the link took 713 ms of CPU
              Methods    the linker dropped methods that are never called
              It contains no package of another module.
        "#]],
        );
    }
}
