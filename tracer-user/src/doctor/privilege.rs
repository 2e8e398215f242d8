//! Capabilities held, and what the missing ones are for.

use rustix::thread::{CapabilitySet, capabilities};

use super::Check;

/// Name, bit, and what it is for. With `CAP_SYS_ADMIN` the first two are not needed.
const WANTED: [(&str, CapabilitySet, &str); 6] = [
    ("CAP_BPF", CapabilitySet::BPF, "loading programs"),
    ("CAP_PERFMON", CapabilitySet::PERFMON, "attaching them"),
    (
        "CAP_SYS_ADMIN",
        CapabilitySet::SYS_ADMIN,
        "probes in toolchains",
    ),
    (
        "CAP_SYS_PTRACE",
        CapabilitySet::SYS_PTRACE,
        "files as other users' builds see them",
    ),
    (
        "CAP_DAC_READ_SEARCH",
        CapabilitySet::DAC_READ_SEARCH,
        "tracefs and other users' outputs",
    ),
    (
        "CAP_LEASE",
        CapabilitySet::LEASE,
        "taking probes off before others write over a toolchain",
    ),
];

pub(super) fn checks() -> Vec<Check> {
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    vec![check(held)]
}

fn check(held: CapabilitySet) -> Check {
    const NAME: &str = "capabilities";
    const ADVICE: &str = "run with sudo";
    let missing: Vec<String> = WANTED
        .iter()
        .filter(|(_, bit, _)| !held.contains(*bit))
        .filter(|(_, bit, _)| {
            !(held.contains(CapabilitySet::SYS_ADMIN)
                && CapabilitySet::BPF
                    .union(CapabilitySet::PERFMON)
                    .contains(*bit))
        })
        .map(|(name, _, purpose)| format!("{name} ({purpose})"))
        .collect();
    if missing.is_empty() {
        return Check::fine(NAME, "all that are used are held");
    }
    let found = format!("missing: {}", missing.join(", "));
    if held.contains(CapabilitySet::SYS_ADMIN) {
        Check::limited(NAME, found, ADVICE)
    } else {
        Check::broken(NAME, found, ADVICE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn nobody_lacks_all_and_is_told_what_for() {
        let check = check(CapabilitySet::empty());
        assert_eq!(check.verdict, Verdict::Broken);
        assert!(
            check.found.contains("CAP_BPF (loading programs)"),
            "{}",
            check.found
        );
    }

    #[test]
    fn sys_admin_stands_in_for_bpf_and_perfmon_but_not_for_the_rest() {
        let held = CapabilitySet::all().difference(CapabilitySet::DAC_READ_SEARCH);
        let check = check(held.difference(CapabilitySet::BPF | CapabilitySet::PERFMON));
        assert_eq!(check.verdict, Verdict::Limited);
        assert_eq!(
            check.found,
            "missing: CAP_DAC_READ_SEARCH (tracefs and other users' outputs)"
        );
    }

    #[test]
    fn root_lacks_nothing() {
        assert_eq!(check(CapabilitySet::all()).verdict, Verdict::Fine);
    }
}
