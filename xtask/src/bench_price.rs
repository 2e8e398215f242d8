//! `cargo xtask bench price`: compares the retained bytes of `gotrace explain --modules` with programs that are built without the module.
//!
//! A program uses ten modules, each of which uses another part of the standard library. It is built once with all of them and once without
//! each. The linker's elimination of methods is off in the first program; without some of the modules it is on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tests::{Module, Toolchain};

use crate::{setup, shell};

/// Module path of the module that the program is made of.
const MODULE: &str = "tiny";
const MODULE_PATH: &str = "example.com/tiny";

/// Name, imports, and an expression of type string.
const MODULES: [(&str, &[&str], &str); 10] = [
    (
        "archive",
        &["archive/zip", "bytes"],
        "func() string { r, _ := zip.NewReader(bytes.NewReader(nil), 0); if r == nil { return \"none\" }; return r.Comment }()",
    ),
    (
        "client",
        &["net/http"],
        "func() string { r, err := http.Get(\"http://127.0.0.1:1\"); if err != nil { return err.Error() }; return r.Status }()",
    ),
    (
        "codec",
        &["encoding/json"],
        "func() string { b, _ := json.Marshal(map[string]int{\"a\": 1}); return string(b) }()",
    ),
    (
        "expression",
        &["regexp"],
        "regexp.MustCompile(`a+`).FindString(\"aaa\")",
    ),
    (
        "markup",
        &["encoding/xml"],
        "func() string { b, _ := xml.Marshal(struct{ A int }{1}); return string(b) }()",
    ),
    (
        "number",
        &["math/big"],
        "new(big.Int).Exp(big.NewInt(2), big.NewInt(99), nil).String()",
    ),
    (
        "picture",
        &["bytes", "image/png"],
        "func() string { _, err := png.Decode(bytes.NewReader(nil)); return err.Error() }()",
    ),
    (
        "source",
        &["go/parser"],
        "func() string { e, _ := parser.ParseExpr(\"a\"); if e == nil { return \"none\" }; return \"one\" }()",
    ),
    (
        "store",
        &["database/sql"],
        "func() string { _, err := sql.Open(\"none\", \"\"); return err.Error() }()",
    ),
    (
        "text",
        &["strings", "text/template"],
        "func() string { var b strings.Builder; template.Must(template.New(\"a\").Parse(\"{{.}}\")).Execute(&b, 1); return b.String() }()",
    ),
];

pub(crate) fn run(minor: &str) -> Result<()> {
    if !shell::is_root()? {
        bail!("tracing needs root: run this command as root");
    }
    setup::minor(minor)?;
    let toolchain = tests::toolchain(minor);
    let gotrace = shell::gotrace()?;
    let module = Module::copy(MODULE);
    module.sandbox.make_warm(&toolchain);
    for (name, imports, expression) in MODULES {
        write_module(
            &module.dir().join("dep").join(name),
            name,
            imports,
            expression,
        )?;
    }
    let size = build(&gotrace, &toolchain, &module, None)?;
    let prices = prices(&gotrace, &module)?;
    println!("the program with all modules has {size} bytes");
    println!(
        "{:<12} {:>10} {:>10} {:>12} {:>10} {:>7}",
        "module", "own", "retained", "of the file", "measured", "error"
    );
    let mut errors: Vec<f64> = Vec::new();
    for (name, _, _) in MODULES {
        let without = build(&gotrace, &toolchain, &module, Some(name))?;
        let measured = bytes_of(size)? - bytes_of(without)?;
        let path = format!("example.com/{name}");
        let price = prices
            .iter()
            .find(|it| it.get("path").and_then(Value::as_str) == Some(&path))
            .with_context(|| format!("{path} has no price"))?;
        let field = |name: &str| {
            let value = price.get(name).and_then(Value::as_u64);
            value.with_context(|| format!("{path} has no {name}"))
        };
        let predicted = bytes_of(field("retained_file_bytes")?)?;
        let error = (predicted / measured - 1.0) * 100.0;
        println!(
            "{name:<12} {:>10} {:>10} {predicted:>12.0} {measured:>10.0} {error:>5.0} %",
            field("own_bytes")?,
            field("retained_bytes")?,
        );
        errors.push(error.abs());
    }
    errors.sort_by(f64::total_cmp);
    let median = errors.get(errors.len() / 2).copied().unwrap_or(f64::NAN);
    let worst = errors.last().copied().unwrap_or(f64::NAN);
    println!("median error {median:.0} %, worst {worst:.0} %");
    Ok(())
}

fn bytes_of(n: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(n).context("a program of 4 GiB")?))
}

fn write_module(dir: &Path, name: &str, imports: &[&str], expression: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(
        dir.join("go.mod"),
        format!("module example.com/{name}\n\ngo 1.19\n"),
    )?;
    let imports: Vec<String> = imports.iter().map(|it| format!("{it:?}")).collect();
    fs::write(
        dir.join("it.go"),
        format!(
            "package {name}\n\nimport (\n{}\n)\n\nfunc Use() string {{ return {expression} }}\n",
            imports.join("\n")
        ),
    )?;
    Ok(())
}

/// Builds the program without one of the modules. Returns its size.
fn build(
    gotrace: &Path,
    toolchain: &Toolchain,
    module: &Module,
    without: Option<&str>,
) -> Result<u64> {
    let (mut go_mod, mut imports, mut calls) = (
        format!("module {MODULE_PATH}\n\ngo 1.19\n\n"),
        String::new(),
        String::new(),
    );
    for (name, _, _) in MODULES.iter().filter(|it| Some(it.0) != without) {
        writeln!(go_mod, "require example.com/{name} v0.0.0")?;
        writeln!(go_mod, "replace example.com/{name} => ./dep/{name}")?;
        writeln!(imports, "\"example.com/{name}\"")?;
        writeln!(calls, "println({name}.Use())")?;
    }
    fs::write(module.dir().join("go.mod"), go_mod)?;
    let main = format!("package main\n\nimport (\n{imports})\n\nfunc main() {{\n{calls}}}\n");
    fs::write(module.dir().join("main.go"), main)?;
    let program = program(module);
    let mut build = if without.is_some() {
        Command::new(&toolchain.go)
    } else {
        let mut traced = Command::new(gotrace);
        traced
            .args(["run", "--detail", "cache-key", "--format", "json", "-o"])
            .arg(module.sandbox.out().join("trace.json"))
            .arg("--store")
            .arg(store(module))
            .arg("--")
            .arg(&toolchain.go);
        traced
    };
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(module.dir())
        .env_clear()
        .envs(module.sandbox.env(toolchain));
    shell::read(&mut build)?;
    Ok(fs::metadata(&program)?.len())
}

fn program(module: &Module) -> std::path::PathBuf {
    module.sandbox.out().join("program")
}

fn store(module: &Module) -> std::path::PathBuf {
    module.sandbox.path().join("history.db")
}

/// The prices of the modules in the program of the only build.
fn prices(gotrace: &Path, module: &Module) -> Result<Vec<Value>> {
    let mut list = Command::new(gotrace);
    list.args(["builds", "--format", "jsonl", "--limit", "1", "--store"]);
    let newest: Value = serde_json::from_str(&shell::read(list.arg(store(module)))?)?;
    let id = newest.get("id").and_then(Value::as_str);
    let mut ask = Command::new(gotrace);
    ask.args(["explain", "--modules", "--format", "json"])
        .arg("--output")
        .arg(program(module))
        .arg(id.context("no build")?)
        .arg("--store")
        .arg(store(module));
    let answer: Value = serde_json::from_str(&shell::read(&mut ask)?)?;
    let prices = answer.pointer("/programs/0/modules");
    let prices = prices.and_then(Value::as_array);
    Ok(prices.context("the program has no prices")?.clone())
}
