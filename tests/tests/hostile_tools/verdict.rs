//! Checks that reported compilations and links are exact, or marked as incomplete.

use tests::phases::{compile_phases, link_phases};
use tracer_core::event::ProcKey;
use tracer_core::model::{Anomaly, Build, CallKind, ToolCall};

/// Compilations and links, by comparison of their phases with the output of Go's own tools.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) exact: usize,
    /// Fewer phases, and the build reports this.
    pub(crate) reported: usize,
    pub(crate) wrong: Vec<String>,
}

impl Verdict {
    pub(crate) fn of<'a>(builds: impl IntoIterator<Item = (&'a Build, u32)>) -> Self {
        let mut verdict = Self::default();
        for (build, minor) in builds {
            verdict.add(build, minor);
        }
        verdict
    }

    pub(crate) fn add(&mut self, build: &Build, minor: u32) {
        for call in build.calls.iter().filter(|it| !it.is_query) {
            let expected = if call.kind == CallKind::Compile {
                compile_phases(minor)
            } else if call.kind == CallKind::Link {
                link_phases(minor)
            } else {
                continue;
            };
            let seen: Vec<&str> = call.phases.iter().map(|it| it.name.as_str()).collect();
            if seen == expected {
                self.exact += 1;
            } else if seen.len() < expected.len() && is_reported(build, call) {
                self.reported += 1;
            } else {
                let (kind, process) = (call.kind, call.process);
                let printed = &build.anomalies;
                self.wrong.push(format!(
                    "{kind:?} {process:?}: {seen:?}; it reports {printed:?}"
                ));
            }
        }
    }

    pub(crate) fn assert_correct(&self) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        assert!(self.exact > 0, "nothing is exact: {self:?}");
    }
}

/// Returns whether the build reports that data of this call is missing.
fn is_reported(build: &Build, call: &ToolCall) -> bool {
    let is_of = |process: &ProcKey| *process == call.process;
    build.anomalies.iter().any(|it| match it {
        Anomaly::ProbesLate { process, .. }
        | Anomaly::ProbesChanged { process, .. }
        | Anomaly::PhasesUnseen { process, .. }
        | Anomaly::ToolUnknown { process, .. } => is_of(process),
        Anomaly::ProbesRefused { .. } | Anomaly::Lost { .. } => true,
        Anomaly::Unreadable { .. }
        | Anomaly::StartUnseen { .. }
        | Anomaly::EndUnseen { .. }
        | Anomaly::Reused { .. }
        | Anomaly::Cut { .. }
        | Anomaly::SpanUnpaired { .. }
        | Anomaly::InstallUnseen { .. } => false,
    })
}
