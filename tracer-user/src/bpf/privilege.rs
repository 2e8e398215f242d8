//! Checks permissions before loading, because the kernel refuses without a reason.

use std::fs;

use super::error::SetupError;

/// Bits of `CapEff`, as in `include/uapi/linux/capability.h`.
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Fails if loading is certain to fail.
pub(super) fn check() -> Result<(), SetupError> {
    if fs::read_to_string("/sys/kernel/security/lockdown")
        .is_ok_and(|modes| modes.contains("[confidentiality]"))
    {
        return Err(SetupError::Lockdown);
    }
    let missing = missing();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SetupError::NotPermitted { missing })
    }
}

/// Capabilities that loading and attaching need and this process lacks.
pub(super) fn missing() -> Vec<&'static str> {
    missing_of(effective())
}

fn missing_of(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    // CAP_SYS_ADMIN replaces both. On kernels without `uprobe_multi` links (before 6.6), the probes of a toolchain need CAP_SYS_ADMIN.
    // There each probe is refused by itself, and everything else works.
    if has(SYS_ADMIN) {
        return Vec::new();
    }
    let required = [(BPF, "CAP_BPF"), (PERFMON, "CAP_PERFMON")];
    required
        .into_iter()
        .filter(|(bit, _)| !has(*bit))
        .map(|(_, name)| name)
        .collect()
}

fn effective() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_lacks_nothing_and_an_unprivileged_user_lacks_all() {
        assert_eq!(missing_of(0x1ff_ffff_ffff), [""; 0]);
        assert_eq!(missing_of(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing_of(1 << BPF), ["CAP_PERFMON"]);
        assert_eq!(missing_of(1 << BPF | 1 << PERFMON), [""; 0]);
    }
}
