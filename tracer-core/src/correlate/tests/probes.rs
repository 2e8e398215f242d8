//! Builds during which the probes of a tool are attached or change.

use super::*;

const TOOL: &str = "/go/pkg/tool/linux_amd64/compile";

/// Two compilers: one from 2 to 6, one from 8 to 10.
const TEXT: &str = "0 exec 100 /go/bin/go build .
     1 fork 100 101
     2 exec 101 TOOLEXEC_IMPORTPATH=a /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b001/_pkg_.a -p a
     6 exit 101 0
     7 fork 100 102
     8 exec 102 TOOLEXEC_IMPORTPATH=b /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b002/_pkg_.a -p b
     10 exit 102 0
     11 exit 100 0";

/// Gaps of the build if the compiler has these probes from an instant on. Before that, it had a probe for phases.
fn gaps(at_ms: u64, attached: &[&str]) -> Vec<Anomaly> {
    let change = Tool {
        at: Ktime(at_ms * 1_000_000),
        file: file(TOOL),
        path: TOOL.into(),
        role: Role::Compile,
        version: "go1.27.3".to_owned(),
        attached: attached.iter().copied().map(str::to_owned).collect(),
        refused: Vec::new(),
    };
    let is_before = |line: &&str| {
        line.split_whitespace()
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            < at_ms
    };
    let n_before = TEXT.lines().take_while(is_before).count();
    let mut all = events(TEXT);
    all.insert(n_before, Event::Tool(change));
    let mut correlator = correlator();
    for event in tools().chain(all) {
        correlator.apply(event);
    }
    let anomalies = correlator.finish().builds[0].anomalies.clone();
    let is_of_probes = |it: &Anomaly| {
        matches!(
            it,
            Anomaly::ProbesLate { .. } | Anomaly::ProbesChanged { .. }
        )
    };
    anomalies.into_iter().filter(is_of_probes).collect()
}

fn changed(tgid: u32, born_ms: u64) -> Anomaly {
    Anomaly::ProbesChanged {
        process: ProcKey {
            tgid: Tgid(tgid),
            born: Ktime(born_ms * 1_000_000),
        },
        path: TOOL.into(),
    }
}

#[test]
fn a_tool_that_ran_during_a_change_of_its_probes_is_marked() {
    // Only the first compiler ran.
    assert_eq!(gaps(4, &[]), [changed(101, 1)]);
    assert_eq!(gaps(4, &["compile_phase", "more"]), [changed(101, 1)]);
    assert_eq!(gaps(9, &[]), [changed(102, 7)]);
    // None ran.
    assert_eq!(gaps(7, &[]), []);
}

#[test]
fn the_same_probes_are_no_change() {
    assert_eq!(gaps(0, &["compile_phase"]), []);
}
