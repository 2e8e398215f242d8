//! Checks the results of a guest. Each departure from the expectation is a sentence; an empty list is a pass.
//!
//! Phases must equal the lists of the live tests, which were copied from the output of Go's tools, not from gotrace.

use serde_json::{Value, json};
use tests::{Toolchain, phases};

use super::guest::GuestOutput;
use super::report::Section;
use super::task::Checks;

/// Messages that only a broken kernel prints.
const ALARMS: [&str; 5] = ["WARNING:", "BUG:", "Oops", "Call Trace:", "Kernel panic"];

/// gotrace's exit code and message on a kernel without BTF.
const NO_BTF: (i32, &str) = (110, "this kernel has no BTF");

/// gotrace's exit code and message on a kernel that counts map memory, with a low limit of locked memory.
const MEMLOCK: (i32, &str) = (113, "the kernel refused memory for a map");

/// The only complaint of doctor on such a kernel: it has no Landlock for the reader of outputs.
const LIMITS: [&str; 1] = ["reader"];

/// gotrace's exit code and message on a kernel that denies access to its memory.
const LOCKED: (i32, &str) = (
    112,
    "BPF programs cannot read kernel memory under lockdown=confidentiality",
);

/// All departures of a guest.
pub(super) fn departures(
    ended: &GuestOutput,
    checks: Checks,
    toolchains: &[Toolchain],
) -> Vec<String> {
    let mut wrong: Vec<String> = ended
        .console
        .lines()
        .filter(|line| ALARMS.iter().any(|it| line.contains(it)))
        .map(|line| format!("the kernel logged `{}`", line.trim()))
        .collect();
    if ended.report.section("end").code.is_none() {
        wrong.push("the guest did not finish".to_owned());
    }
    let newest = toolchains.last();
    let by_each = || {
        let each = toolchains.iter();
        each.flat_map(|it| build(ended, &name(it), it))
    };
    let by_newest = |name: &str| {
        let wrong = newest.map(|it| build(ended, name, it));
        wrong.unwrap_or_default()
    };
    match checks {
        Checks::All | Checks::AllLimited => {
            if checks == Checks::All {
                wrong.extend(doctor(ended, 0));
                wrong.extend(by_newest("memlock"));
            } else {
                wrong.extend(doctor_names(ended, LIMITS));
                wrong.extend(refused(ended, "memlock", MEMLOCK));
            }
            wrong.extend(usage(ended));
            wrong.extend(by_each());
            wrong.extend(by_newest("paranoid"));
            wrong.extend(by_newest("tracefs"));
            wrong.extend(refused(ended, "btf", NO_BTF));
        }
        Checks::Builds => {
            wrong.extend(doctor(ended, 0));
            wrong.extend(usage(ended));
            wrong.extend(by_each());
        }
        Checks::Integrity => {
            wrong.extend(locked(ended, "[integrity]"));
            wrong.extend(doctor(ended, 0));
            wrong.extend(
                newest
                    .into_iter()
                    .flat_map(|it| build(ended, &name(it), it)),
            );
        }
        Checks::Confidentiality => {
            wrong.extend(locked(ended, "[confidentiality]"));
            wrong.extend(doctor(ended, LOCKED.0));
            wrong.extend(refused(ended, "strict", LOCKED));
            wrong.extend(refused(ended, "hidden", LOCKED));
            wrong.extend(untraced(ended, "lenient", LOCKED.1));
        }
    }
    wrong
}

fn name(toolchain: &Toolchain) -> String {
    let name = toolchain.goroot.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn doctor(ended: &GuestOutput, code: i32) -> Option<String> {
    let doctor = ended.report.section("doctor");
    let found = doctor.stdout.trim();
    (doctor.code != Some(code)).then(|| format!("doctor exited with {:?}: {found}", doctor.code))
}

/// Checks that times and memory equal the kernel's results for the parent; `docs/kernel-facts.md` quotes the table.
fn usage(ended: &GuestOutput) -> Option<String> {
    let usage = ended.report.section("usage");
    (usage.code != Some(0)).then(|| unexpected_end("usage", &usage))
}

/// Checks that doctor has these complaints and no others.
fn doctor_names(ended: &GuestOutput, wanted: [&str; 1]) -> Option<String> {
    let doctor = ended.report.section("doctor");
    let found: Value = serde_json::from_str(&doctor.stdout).unwrap_or_default();
    let checks = found["checks"].as_array().map_or(&[][..], Vec::as_slice);
    let named: Vec<&Value> = checks
        .iter()
        .filter(|it| it["verdict"] != "fine")
        .map(|it| &it["name"])
        .collect();
    let is_right = doctor.code == Some(1) && named == wanted;
    (!is_right).then(|| format!("doctor exited with {:?}: {named:?}", doctor.code))
}

/// Checks that the kernel is locked down as requested.
fn locked(ended: &GuestOutput, wanted: &str) -> Option<String> {
    let stdout = ended.report.section("lockdown").stdout;
    (!stdout.contains(wanted)).then(|| format!("lockdown: `{}` without {wanted}", stdout.trim()))
}

/// Checks that gotrace did not run the command, and reported the reason.
fn refused(ended: &GuestOutput, name: &str, (code, why): (i32, &str)) -> Option<String> {
    let section = ended.report.section(name);
    let is_right = section.code == Some(code) && section.stderr.contains(why);
    (!is_right || section.stdout.contains("untraced")).then(|| unexpected_end(name, &section))
}

/// Checks that gotrace ran the command untraced, and reported the reason.
fn untraced(ended: &GuestOutput, name: &str, why: &str) -> Option<String> {
    let section = ended.report.section(name);
    let is_right = section.code == Some(0) && section.stderr.contains(why);
    (!is_right || !section.stdout.contains("untraced")).then(|| unexpected_end(name, &section))
}

fn unexpected_end(name: &str, section: &Section) -> String {
    let (stdout, stderr) = (section.stdout.trim(), section.stderr.trim());
    format!(
        "{name}: exited with {:?}, stdout `{stdout}`, stderr `{stderr}`",
        section.code
    )
}

/// Checks one build under gotrace: its exit code and its trace.
fn build(ended: &GuestOutput, name: &str, toolchain: &Toolchain) -> Vec<String> {
    let run = ended.report.section(name);
    if run.code != Some(0) {
        let stderr = run.stderr.trim();
        return vec![format!("{name}: exited with {:?}: {stderr}", run.code)];
    }
    let text = ended.report.section(&format!("{name}-trace")).stdout;
    let wrong = match serde_json::from_str(&text) {
        Ok(trace) => missing(&trace, toolchain),
        Err(error) => vec![format!("cannot parse the trace: {error}")],
    };
    wrong
        .into_iter()
        .map(|it| format!("{name}: {it}"))
        .collect()
}

fn missing(trace: &Value, toolchain: &Toolchain) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut demand = |what: &str, found: Value, wanted: Value| {
        if found != wanted {
            wrong.push(format!("{what}: {found} instead of {wanted}"));
        }
    };
    let build = &trace["builds"][0];
    let version = Value::from(format!("go{}", toolchain.version));
    let minor = toolchain.minor();
    let (compile, link) = (phases::compile_phases(minor), phases::link_phases(minor));
    demand("builds", count(&trace["builds"]), 1.into());
    demand("gaps", trace["anomalies"].clone(), json!([]));
    demand("lost events", trace["events"]["lost"].clone(), 0.into());
    demand(
        "version",
        build["toolchain"]["version"].clone(),
        version.clone(),
    );
    demand(
        "exit code of the build",
        build["status"]["code"].clone(),
        0.into(),
    );
    let calls = |kind: &str| -> Value {
        let all = build["calls"].as_array().map_or(&[][..], Vec::as_slice);
        let ours = all
            .iter()
            .filter(|it| it["kind"] == kind && it["is_query"] == false);
        ours.map(|it| json!([it["package"], texts(&it["phases"], "name")]))
            .collect()
    };
    demand(
        "compilations",
        calls("compile"),
        json!([
            ["example.test/hello/greet", &compile],
            ["example.test/hello", &compile]
        ]),
    );
    demand(
        "links",
        calls("link"),
        json!([["example.test/hello", &link]]),
    );
    let gaps = texts(&build["anomalies"], "anomaly");
    demand("gaps of the build", json!(gaps), json!([]));
    let output = &build["outputs"][0];
    demand("outputs", count(&build["outputs"]), 1.into());
    demand("output", output["path"].clone(), "/out/hello".into());
    demand(
        "detection of the output",
        output["how"].clone(),
        "renamed".into(),
    );
    demand(
        "version in the output",
        output["artifact"]["go_version"].clone(),
        version,
    );
    wrong
}

fn count(list: &Value) -> Value {
    list.as_array().map(Vec::len).into()
}

/// One field of each row.
fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a Value> {
    let rows = list.as_array().map_or(&[][..], Vec::as_slice);
    rows.iter().map(|it| &it[field]).collect()
}
