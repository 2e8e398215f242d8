//! Go's own facts about its builds, for comparison with gotrace. No oracle uses gotrace.
//!
//! Parsers panic with a message on unexpected input, because an oracle must not guess.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::module::Module;
use crate::toolchain::Toolchain;

/// One action of `go build -debug-actiongraph=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// `build`, `link`, `link-install`, `vet`, ...
    pub mode: String,
    /// Import path; empty for an action without a package.
    pub package: String,
    /// Its number in the file, and those of the actions that it waits for.
    pub id: u64,
    pub deps: Vec<u64>,
    /// Nanoseconds since 1970.
    pub start_ns: i64,
    pub done_ns: i64,
    /// The tool processes that it ran, each as one line of shell words. Empty if the result came from the cache.
    pub commands: Vec<String>,
    /// Wall time of those processes; `None` without processes.
    pub commands_ns: Option<u64>,
}

impl Action {
    /// Returns whether the action ran, instead of using the cache.
    pub fn was_executed(&self) -> bool {
        self.commands_ns.is_some()
    }
}

/// Reads a file written by `-debug-actiongraph`.
///
/// # Panics
///
/// If it cannot be read, or is not an action graph.
pub fn actiongraph(file: &Path) -> Vec<Action> {
    let text = fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    parse_actiongraph(&text)
}

fn parse_actiongraph(text: &str) -> Vec<Action> {
    let value: Value = serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("the action graph is not JSON: {error}"));
    let Some(actions) = value.as_array() else {
        panic!("the action graph is not an array")
    };
    let action = |it: &Value| {
        let text = |name: &str| it.get(name).and_then(Value::as_str).unwrap_or_default();
        let commands = it
            .get("Cmd")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        Action {
            mode: text("Mode").to_owned(),
            package: text("Package").to_owned(),
            id: it.get("ID").and_then(Value::as_u64).unwrap_or_default(),
            deps: (it.get("Deps").and_then(Value::as_array))
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
                .collect(),
            start_ns: unix_nanoseconds(text("TimeStart")),
            done_ns: unix_nanoseconds(text("TimeDone")),
            commands: commands
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            commands_ns: it.get("CmdReal").and_then(Value::as_u64),
        }
    };
    actions.iter().map(action).collect()
}

/// Splits a command line as `go` prints it: blanks separate words, and Go's double quotes enclose a word that needs them.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = if rest.starts_with('"') {
            quoted_len(rest)
        } else {
            rest.find(' ').unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        let is_quoted = word.starts_with('"');
        // For the quoted characters here (blanks, quotes, backslashes), Go's syntax equals JSON's.
        let plain = if is_quoted {
            serde_json::from_str(word).ok()
        } else {
            None
        };
        words.push(plain.unwrap_or_else(|| word.to_owned()));
        rest = after.trim_start();
    }
    words
}

/// Length of the quoted word that `text` starts with.
fn quoted_len(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Every setting of the module as `go env` resolves it.
///
/// # Panics
///
/// If `go env` fails.
pub fn go_env(module: &Module, toolchain: &Toolchain) -> BTreeMap<String, String> {
    let output = module.run_go(toolchain, &["env", "-json"]);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("go env did not print JSON: {error}"))
}

/// Sorted import paths of the packages that a build of `patterns` needs: `go list -deps` without `unsafe`, which is never compiled.
///
/// # Panics
///
/// If `go list` fails.
pub fn go_list_deps(module: &Module, toolchain: &Toolchain, patterns: &[&str]) -> Vec<String> {
    let output = module.run_go(toolchain, &[&["list", "-deps"], patterns].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let mut packages: Vec<String> = text
        .lines()
        .filter(|it| *it != "unsafe")
        .map(str::to_owned)
        .collect();
    packages.sort();
    packages
}

/// The imports of each package that a build of `patterns` and their tests needs, as `go list` prints them: with test variants, without `C`,
/// which is no package.
///
/// # Panics
///
/// If `go list` fails or prints no list of packages.
pub fn go_list_imports(
    module: &Module,
    toolchain: &Toolchain,
    patterns: &[&str],
) -> BTreeMap<String, BTreeSet<String>> {
    let args = [&["list", "-deps", "-test", "-json"], patterns].concat();
    let output = module.run_go(toolchain, &args);
    let packages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let imports = packages.map(|package| {
        let package = package.unwrap_or_else(|error| panic!("go list did not print JSON: {error}"));
        let path = package["ImportPath"].as_str().unwrap_or_default();
        let imports = package["Imports"].as_array().into_iter().flatten();
        let imports = imports.filter_map(Value::as_str).filter(|it| *it != "C");
        (path.to_owned(), imports.map(str::to_owned).collect())
    });
    imports.collect()
}

/// A phase as measured by the tool itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    pub name: String,
    pub ns: u64,
}

/// Phases from the output of `-ldflags=-benchmark=cpu`, in order. Names are in lower case, because the linker changes the case of
/// the first letters.
pub fn link_benchmark(text: &str) -> Vec<Phase> {
    let mut phases = benchmark_lines(text, "Benchmark");
    phases.retain(|it| it.name != "TotalTime");
    for phase in &mut phases {
        phase.name = phase.name.to_lowercase();
    }
    phases
}

/// Phases of one package from the file of `-gcflags=-bench=FILE`, in order: `fe:parse`, `be:dumpobj`, ... without the sums.
pub fn compile_bench(text: &str, package: &str) -> Vec<Phase> {
    let mut phases = benchmark_lines(text, &format!("BenchmarkCompile:{package}:"));
    phases.retain(|it| it.name != "total" && !it.name.ends_with(":subtotal"));
    phases
}

/// Parses lines `<prefix><name> 1 <number> ns/op ...` and skips other lines.
fn benchmark_lines(text: &str, prefix: &str) -> Vec<Phase> {
    let phase = |line: &str| {
        let mut words = line.strip_prefix(prefix)?.split_whitespace();
        let name = words.next()?.to_owned();
        let ns = words.nth(1)?;
        if words.next()? != "ns/op" {
            return None;
        }
        Some(Phase {
            name,
            ns: ns.parse().ok()?,
        })
    };
    text.lines().filter_map(phase).collect()
}

/// Nanoseconds since 1970 of a time such as `2026-11-21T00:09:24.252106509Z`, or with an offset such as `+02:00`.
fn unix_nanoseconds(rfc3339: &str) -> i64 {
    parse_rfc3339(rfc3339).unwrap_or_else(|| panic!("`{rfc3339}` is not a time"))
}

fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T')?;
    let (time, offset_minutes) = if let Some(time) = rest.strip_suffix('Z') {
        (time, 0)
    } else {
        let at = rest.rfind(['+', '-'])?;
        let (time, offset) = rest.split_at(at);
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
        (
            time,
            if offset.starts_with('-') {
                -minutes
            } else {
                minutes
            },
        )
    };
    let mut date = date.splitn(3, '-').map(|it| it.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = time.splitn(3, ':');
    let (hour, minute) = (
        clock.next()?.parse::<i64>().ok()?,
        clock.next()?.parse::<i64>().ok()?,
    );
    let (second, fraction) = clock
        .next()?
        .split_once('.')
        .unwrap_or((time.rsplit(':').next()?, ""));
    let nanoseconds: i64 = format!("{fraction:0<9}").parse().ok()?;
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second.parse::<i64>().ok()?) * 1_000_000_000 + nanoseconds)
}

/// Uses the Gregorian calendar. Years begin in March, so that the leap day is the last day of a year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between 1 March of year 0 and 1 January 1970.
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_graph_contains_the_executed_commands() {
        let actions = parse_actiongraph(
            r#"[{"ID":0,"Mode":"link","Package":"example.com/h","TimeStart":"1970-01-02T00:00:00.25Z",
                 "TimeDone":"1970-01-02T02:00:01+02:00","Cmd":["/go/link -o \"a b\""],"CmdReal":7},
                {"ID":1,"Mode":"build","Package":"fmt","TimeStart":"2026-11-21T00:09:24.252106509Z",
                 "TimeDone":"2026-11-21T00:09:24.252106509Z","Cmd":null}]"#,
        );
        let [link, build] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        assert_eq!(
            (
                link.mode.as_str(),
                link.package.as_str(),
                link.was_executed()
            ),
            ("link", "example.com/h", true)
        );
        assert_eq!(
            (link.start_ns, link.done_ns),
            (86_400_250_000_000, 86_401_000_000_000)
        );
        assert_eq!(
            (build.was_executed(), build.start_ns),
            (false, 1_795_219_764_252_106_509)
        );
    }

    #[test]
    fn a_command_line_splits_where_go_joined_it() {
        assert_eq!(
            words(r#"/go/compile -trimpath "a b=>;c" -o x"#),
            ["/go/compile", "-trimpath", "a b=>;c", "-o", "x"]
        );
        assert_eq!(words(r#"x "say \"hi\"" """#), ["x", "say \"hi\"", ""]);
    }

    #[test]
    fn phases_are_read_in_order_and_without_sums() {
        let link = link_benchmark(
            "# example.com/h\nBenchmarkLibinit 1 40060 ns/op\t744 B/op\nBenchmarkTotalTime 1 66448698 ns/op\n",
        );
        assert_eq!(
            link,
            [Phase {
                name: "libinit".into(),
                ns: 40060
            }]
        );
        let bench = "commit: go1.24.11\nBenchmarkCompile:main:fe:init   1  799453 ns/op  34.66 %\n\
                     BenchmarkCompile:main:fe:subtotal 1 799453 ns/op 34.66 %\nBenchmarkCompile:fmt:fe:init 1 3 ns/op 1 %\n";
        assert_eq!(
            compile_bench(bench, "main"),
            [Phase {
                name: "fe:init".into(),
                ns: 799_453
            }]
        );
    }
}
