//! The agent's data of outputs: it equals other tools' numbers, analyses each content once, and survives dishonest outputs.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::agent::Agent;
use tests::{Module, Toolchain, run_gotrace, toolchain};

const NO_ENV: [(&str, &str); 0] = [];
const PATIENCE: Duration = Duration::from_mins(2);

/// An agent observes every build on the machine. The module's name identifies those of a test.
fn module(toolchain: &Toolchain, name: &str) -> Module {
    let module = Module::copy("wasm");
    module.write("go.mod", &format!("module example.com/{name}\n\ngo 1.19\n"));
    module.sandbox.make_warm(toolchain);
    module
}

/// Runs a shell script in the module, with this toolchain first in PATH.
fn sh(module: &Module, toolchain: &Toolchain, script: &str) {
    let path = toolchain.go.parent().unwrap().display();
    let output = Command::new("sh")
        .args(["-ec", &format!("PATH={path}:$PATH; {script}")])
        .current_dir(module.dir())
        .env_clear()
        .envs(module.sandbox.env(toolchain))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn artifact(agent: &Agent, build: &Value) -> Value {
    agent.shown(build)["trace"]["builds"][0]["outputs"][0]["artifact"].clone()
}

/// Values of a metric family for this project, by section.
fn by_section(metrics: &str, family: &str, project: &str) -> BTreeMap<String, String> {
    let begin = format!("{family}{{");
    let project = format!("project=\"{project}\"");
    metrics
        .lines()
        .filter(|it| it.starts_with(&begin) && it.contains(&project))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (_, section) = series.split_once("section=\"").unwrap();
            let (section, _) = section.split_once('"').unwrap();
            (section.to_owned(), value.to_owned())
        })
        .collect()
}

/// Sizes of sections with bytes in the file, from binutils.
fn readelf(file: &Path) -> BTreeMap<String, u64> {
    let output = Command::new("readelf")
        .args(["-S", "-W"])
        .arg(file)
        .output()
        .expect("readelf of binutils");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // `  [ 1] .text PROGBITS 0000000000401000 001000 0b7e21 00 AX 0 0 32`
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix('[')?.split_once(']'))
        .filter_map(|(_, row)| {
            let words: Vec<&str> = row.split_whitespace().collect();
            let [name, kind, _, _, size, ..] = words[..] else {
                return None;
            };
            let size = u64::from_str_radix(size, 16).ok()?;
            (kind != "NOBITS" && size > 0).then(|| (name.to_owned(), size))
        })
        .collect()
}

#[test]
fn section_sizes_equal_readelf_and_densities_equal_analyze() {
    let agent = Agent::start();
    let new = toolchain("1.27");
    let module = module(&new, "sections");
    sh(&module, &new, "go build -o out .");
    let builds = agent.wait_for(&module, 1);
    let project = builds[0]["project"].as_str().unwrap();
    let metrics = agent.page("/metrics");
    let sizes = by_section(&metrics, "go_build_binary_section_size_bytes", project);
    let bits = by_section(&metrics, "go_build_binary_section_entropy_bits", project);
    let file = module.dir().join("out");
    let truth = readelf(&file);
    for name in [
        ".text",
        ".rodata",
        ".gopclntab",
        ".data",
        ".symtab",
        ".strtab",
    ] {
        assert_eq!(sizes[name], truth[name].to_string(), "{name}");
    }
    let debug = truth.iter().filter(|(name, _)| name.starts_with(".debug_"));
    let debug: u64 = debug.map(|(_, size)| size).sum();
    assert_eq!(sizes["debug"], debug.to_string());
    let sum: u64 = sizes.values().map(|it| it.parse::<u64>().unwrap()).sum();
    assert_eq!(sum, truth.values().sum::<u64>());
    let path = file.to_str().unwrap();
    let output = run_gotrace(["analyze", "--format", "json", path], NO_ENV);
    let analysis: Value = serde_json::from_slice(&output.stdout).unwrap();
    for section in analysis["sections"].as_array().unwrap() {
        let name = section["name"].as_str().unwrap();
        if let Some(bits) = bits.get(name) {
            assert_eq!(*bits, section["entropy"].to_string(), "{name}");
        }
    }
    assert!(
        bits.contains_key(".text") && bits.len() == sizes.len(),
        "{bits:?}"
    );
    let artifact = artifact(&agent, &builds[0]);
    assert_eq!(artifact["sha256"], analysis["sha256"]);
    assert_eq!(artifact["anatomy"]["loaded"], analysis["content"]["loaded"]);
    assert_eq!(artifact["anatomy"]["stripped"], false);
    assert_eq!(artifact["stamp"]["buildmode"], "exe");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(builds[0]["context"]["host"], host.trim_end());
    agent.stop();
}

#[test]
fn output_metrics_match_the_file_and_survive_a_restart() {
    let agent = Agent::start();
    let new = toolchain("1.27");
    let module = module(&new, "restored");
    sh(
        &module,
        &new,
        "CGO_ENABLED=0 go build -trimpath -buildmode=pie -ldflags=-s -o out .",
    );
    let builds = agent.wait_for(&module, 1);
    let of_target = |metrics: &str| -> Vec<String> {
        let project = format!("project=\"{}\"", builds[0]["project"].as_str().unwrap());
        let lines = metrics.lines().filter(|it| it.contains(&project));
        let gauges = lines.filter(|it| {
            it.starts_with("go_build_info") || it.starts_with("go_build_binary_section")
        });
        gauges.map(str::to_owned).collect()
    };
    let before = of_target(&agent.page("/metrics"));
    let info: Vec<&String> = before
        .iter()
        .filter(|it| it.starts_with("go_build_info"))
        .collect();
    let [info] = &info[..] else {
        panic!("{before:#?}")
    };
    for fact in [
        "buildmode=\"pie\"",
        "cgo=\"false\"",
        "race=\"false\"",
        "stripped=\"true\"",
        "trimpath=\"true\"",
    ] {
        assert!(info.contains(fact), "{fact}: {info}");
    }
    let dir = agent.kill();
    let agent = Agent::start_in(dir, &[]);
    assert_eq!(of_target(&agent.page("/metrics")), before);
    agent.stop();
}

#[test]
fn content_built_twice_is_analysed_once() {
    let agent = Agent::start();
    let new = toolchain("1.27");
    let module = module(&new, "twice");
    sh(&module, &new, "go build -o one . && go build -o two .");
    let builds = agent.wait_for(&module, 2);
    let anatomies: Vec<Value> = builds
        .iter()
        .map(|it| artifact(&agent, it)["anatomy"].clone())
        .collect();
    assert!(
        anatomies[0].is_object() && anatomies[0] == anatomies[1],
        "{anatomies:#?}"
    );
    let since = Instant::now();
    while agent
        .page("/metrics")
        .contains("\ngotrace_analyses_total{outcome=\"known\"} 0\n")
    {
        assert!(since.elapsed() < PATIENCE, "no output was analysed");
        thread::sleep(Duration::from_millis(100));
    }
    agent.stop();
}

/// The builder puts each object in the output's place right after the `go` command. gotrace reads the file or its replacement.
#[test]
fn a_dishonest_output_is_harmless_and_reported() {
    let agent = Agent::start();
    let new = toolchain("1.27");
    let module = module(&new, "hostile");
    // The wrapped linker leaves another file, and `go build` moves that into place.
    let wrapper = module.dir().join("wrap");
    module.write(
        "wrap",
        "#!/bin/sh\n\"$@\" || exit\ncase $1 in */link) ;; *) exit 0 ;; esac\n\
         out=; while [ $# -gt 0 ]; do [ \"$1\" = -o ] && out=$2; shift; done\n\
         [ -n \"$out\" ] || exit 0\n\
         case $EVIL in\n\
         garbage) { printf '\\177ELF\\002\\001\\001'; head -c 5000 /dev/urandom; } > \"$out\" ;;\n\
         sparse) truncate -s 300M \"$out\" ;;\n\
         esac\n",
    );
    sh(&module, &new, &format!("chmod +x {}", wrapper.display()));
    let wrap = wrapper.display();
    sh(
        &module,
        &new,
        &format!(
            "EVIL=garbage go build -toolexec={wrap} -o garbage . || true; \
             EVIL=sparse go build -toolexec={wrap} -o sparse . || true"
        ),
    );
    // A FIFO and a link replace the output of a command that then runs for a moment.
    for (name, swap) in [
        ("fifo", "rm fifo; mkfifo fifo"),
        ("link", "ln -sf /etc/shadow link"),
    ] {
        sh(&module, &new, &format!("go build -o {name} . && {swap}"));
    }
    let builds = agent.wait_for(&module, 4);
    for build in &builds {
        let output = agent.shown(build)["trace"]["builds"][0]["outputs"][0].clone();
        let path = output["path"].as_str().unwrap_or_default();
        let artifact = &output["artifact"];
        let printed = |key: &str| artifact[key].as_str().unwrap_or_default().to_owned();
        if path.ends_with("garbage") {
            assert!(
                printed("unanalysed").contains("cannot be read"),
                "{output:#}"
            );
        } else if path.ends_with("sparse") {
            assert!(printed("unanalysed").contains("more than"), "{output:#}");
        } else {
            // The output is either read before the swap or refused after it.
            let is_read = artifact["format"] == "ELF";
            let is_refused = output["unread"].is_string();
            assert!(is_read != is_refused, "{output:#}");
        }
    }
    // The agent works as before.
    sh(&module, &new, "go build -o honest .");
    let builds = agent.wait_for(&module, 5);
    assert!(artifact(&agent, &builds[4])["anatomy"].is_object());
    agent.stop();
}
