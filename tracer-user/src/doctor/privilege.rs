//! Checks the capabilities of this process, and reports the purpose of each missing one.

use rustix::thread::{CapabilitySet, capabilities};

use super::Check;

/// A capability that gotrace uses on this kernel.
struct Requirement {
    name: &'static str,
    bit: CapabilitySet,
    /// The reason for the capability.
    purpose: &'static str,
    /// True if tracing is impossible without it. `CAP_SYS_ADMIN` replaces these capabilities.
    is_vital: bool,
}

const fn required(name: &'static str, bit: CapabilitySet, purpose: &'static str) -> Requirement {
    Requirement {
        name,
        bit,
        purpose,
        is_vital: false,
    }
}

const ALWAYS: [Requirement; 5] = [
    Requirement {
        is_vital: true,
        ..required("CAP_BPF", CapabilitySet::BPF, "loading programs")
    },
    Requirement {
        is_vital: true,
        ..required("CAP_PERFMON", CapabilitySet::PERFMON, "attaching them")
    },
    required(
        "CAP_SYS_PTRACE",
        CapabilitySet::SYS_PTRACE,
        "reading files in the mount namespaces of builds",
    ),
    required(
        "CAP_DAC_READ_SEARCH",
        CapabilitySet::DAC_READ_SEARCH,
        "tracefs and other users' outputs",
    ),
    required(
        "CAP_LEASE",
        CapabilitySet::LEASE,
        "detaching probes before a toolchain is overwritten",
    ),
];
/// Without `uprobe_multi` links probes are perf events.
const OLDER_KERNEL: Requirement = required(
    "CAP_SYS_ADMIN",
    CapabilitySet::SYS_ADMIN,
    "probes in toolchains, because this kernel has no uprobe_multi links (Linux 6.6)",
);

/// Checks all capabilities. `by_perf_events` is true if probes are perf events on this kernel.
pub(super) fn checks(by_perf_events: bool) -> Vec<Check> {
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    vec![check(held, by_perf_events)]
}

/// The effect of each missing capability without which tracing works, but with less data.
pub fn limits() -> Vec<String> {
    limits_of(capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective))
}

fn limits_of(held: CapabilitySet) -> Vec<String> {
    let missing = ALWAYS
        .iter()
        .filter(|it| !it.is_vital && !held.contains(it.bit));
    let each = missing.map(|it| {
        format!(
            "{} is missing; gotrace needs it for {}",
            it.name, it.purpose
        )
    });
    each.collect()
}

fn check(held: CapabilitySet, by_perf_events: bool) -> Check {
    const NAME: &str = "capabilities";
    const ADVICE: &str = "run with sudo";
    let older = by_perf_events.then_some(&OLDER_KERNEL);
    let required = || ALWAYS.iter().chain(older);
    let is_admin = held.contains(CapabilitySet::SYS_ADMIN);
    let missing: Vec<&Requirement> = required()
        .filter(|it| !(held.contains(it.bit) || it.is_vital && is_admin))
        .collect();
    if missing.is_empty() {
        let all = listed(required());
        return Check::fine(NAME, format!("all that this kernel requires: {all}"));
    }
    let found = format!("missing: {}", listed(missing.iter().copied()));
    if missing.iter().any(|it| it.is_vital) {
        Check::broken(NAME, found, ADVICE)
    } else {
        Check::limited(NAME, found, ADVICE)
    }
}

fn listed<'a>(required: impl Iterator<Item = &'a Requirement>) -> String {
    let each = required.map(|it| format!("{} ({})", it.name, it.purpose));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn an_unprivileged_user_lacks_all_and_sees_their_purposes() {
        let check = check(CapabilitySet::empty(), false);
        assert_eq!(check.verdict, Verdict::Broken);
        assert!(
            check.found.contains("CAP_BPF (loading programs)"),
            "{}",
            check.found
        );
    }

    #[test]
    fn sys_admin_replaces_bpf_and_perfmon_but_no_others() {
        let held = CapabilitySet::all().difference(CapabilitySet::DAC_READ_SEARCH);
        let check = check(
            held.difference(CapabilitySet::BPF | CapabilitySet::PERFMON),
            true,
        );
        assert_eq!(check.verdict, Verdict::Limited);
        assert_eq!(
            check.found,
            "missing: CAP_DAC_READ_SEARCH (tracefs and other users' outputs)"
        );
    }

    #[test]
    fn each_missing_capability_limits_tracing() {
        let held = CapabilitySet::all().difference(CapabilitySet::SYS_PTRACE);
        assert_eq!(
            limits_of(held),
            [
                "CAP_SYS_PTRACE is missing; gotrace needs it for reading files in the mount namespaces of builds"
            ]
        );
        assert!(limits_of(CapabilitySet::all()).is_empty());
        let vital = CapabilitySet::BPF | CapabilitySet::PERFMON;
        assert!(limits_of(CapabilitySet::all().difference(vital)).is_empty());
    }

    #[test]
    fn root_lacks_nothing() {
        assert_eq!(check(CapabilitySet::all(), true).verdict, Verdict::Fine);
    }

    #[test]
    fn sys_admin_is_required_only_if_probes_are_perf_events() {
        let held = CapabilitySet::all().difference(CapabilitySet::SYS_ADMIN);
        let on_newer = check(held, false);
        assert_eq!(on_newer.verdict, Verdict::Fine);
        assert!(!on_newer.found.contains("CAP_SYS_ADMIN"), "{on_newer:?}");
        let on_older = check(held, true);
        assert_eq!(on_older.verdict, Verdict::Limited);
        assert_eq!(
            on_older.found,
            "missing: CAP_SYS_ADMIN (probes in toolchains, because this kernel has no uprobe_multi links (Linux 6.6))"
        );
    }
}
