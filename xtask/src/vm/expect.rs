//! What a guest must have told. Each departure is a sentence; none is the proof.
//!
//! Phases are held against the lists that the tests of this machine's kernel use, which were read off Go's tools and not off gotrace.

use serde_json::Value;
use tests::{Toolchain, phases};

use super::guest::Ended;
use super::report::Section;

/// What only a broken kernel says.
const ALARMS: [&str; 5] = ["WARNING:", "BUG:", "Oops", "Call Trace:", "Kernel panic"];

/// What gotrace says where the kernel does not tell where its members are.
const NO_BTF: &str = "this kernel has no BTF";

/// All that is wrong with a guest.
pub(super) fn departures(ended: &Ended, toolchains: &[Toolchain]) -> Vec<String> {
    let mut wrong: Vec<String> = ended
        .console
        .lines()
        .filter(|line| ALARMS.iter().any(|it| line.contains(it)))
        .map(|line| format!("the kernel said `{}`", line.trim()))
        .collect();
    if ended.report.section("end").code.is_none() {
        wrong.push("the guest did not get to its end".to_owned());
    }
    let doctor = ended.report.section("doctor");
    if doctor.code != Some(0) {
        let found = doctor.said.trim();
        wrong.push(format!("doctor ended with {:?}: {found}", doctor.code));
    }
    wrong.extend(toolchains.iter().flat_map(|it| {
        let name = it.goroot.file_name().unwrap_or_default().to_string_lossy();
        build(ended, &name, it)
    }));
    if let Some(newest) = toolchains.last() {
        for name in ["paranoid", "memlock", "tracefs"] {
            wrong.extend(build(ended, name, newest));
        }
    }
    wrong.extend(refused(&ended.report.section("btf")));
    wrong
}

fn refused(section: &Section) -> Option<String> {
    (section.code != Some(110) || !section.complained.contains(NO_BTF)).then(|| {
        format!(
            "without BTF gotrace ended with {:?} and said `{}`",
            section.code,
            section.complained.trim()
        )
    })
}

/// One build under gotrace: its own end, and the trace of it.
fn build(ended: &Ended, name: &str, toolchain: &Toolchain) -> Vec<String> {
    let run = ended.report.section(name);
    if run.code != Some(0) {
        let said = run.complained.trim();
        return vec![format!("{name}: ended with {:?}: {said}", run.code)];
    }
    let text = ended.report.section(&format!("{name}-trace")).said;
    let wrong = match serde_json::from_str(&text) {
        Ok(trace) => untraced(&trace, toolchain),
        Err(error) => vec![format!("the trace cannot be read: {error}")],
    };
    wrong
        .into_iter()
        .map(|it| format!("{name}: {it}"))
        .collect()
}

fn untraced(trace: &Value, toolchain: &Toolchain) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut demand = |what: &str, found: Value, wanted: Value| {
        if found != wanted {
            wrong.push(format!("{what}: {found} instead of {wanted}"));
        }
    };
    let build = &trace["builds"][0];
    let minor = toolchain.minor();
    demand("builds", count(&trace["builds"]), 1.into());
    demand("gaps", trace["anomalies"].clone(), Value::Array(Vec::new()));
    demand(
        "gaps of the build",
        build["anomalies"].clone(),
        Value::Array(Vec::new()),
    );
    demand("lost events", trace["events"]["lost"].clone(), 0.into());
    demand(
        "version",
        build["toolchain"]["version"].clone(),
        format!("go{}", toolchain.version).into(),
    );
    demand(
        "end of the build",
        build["status"]["code"].clone(),
        0.into(),
    );
    demand("outputs", count(&build["outputs"]), 1.into());
    demand(
        "output",
        build["outputs"][0]["path"].clone(),
        "/out/hello".into(),
    );
    demand(
        "version in the output",
        build["outputs"][0]["artifact"]["go_version"].clone(),
        format!("go{}", toolchain.version).into(),
    );
    let calls = |kind: &str| -> Value {
        let all = build["calls"].as_array().map_or(&[][..], Vec::as_slice);
        let ours = all
            .iter()
            .filter(|it| it["kind"] == kind && it["is_query"] == false);
        ours.map(|it| serde_json::json!([it["package"], names(&it["phases"])]))
            .collect()
    };
    let (compile, link) = (phases::compile_phases(minor), phases::link_phases(minor));
    demand(
        "compilations",
        calls("compile"),
        serde_json::json!([
            ["example.test/hello/greet", &compile],
            ["example.test/hello", &compile]
        ]),
    );
    demand(
        "links",
        calls("link"),
        serde_json::json!([["example.test/hello", &link]]),
    );
    wrong
}

fn count(list: &Value) -> Value {
    list.as_array().map(Vec::len).into()
}

fn names(phases: &Value) -> Vec<&Value> {
    let phases = phases.as_array().map_or(&[][..], Vec::as_slice);
    phases.iter().map(|it| &it["name"]).collect()
}
