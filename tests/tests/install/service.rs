//! `gotrace install` on a machine with systemd: the service has only the rights it needs, and observes the next build.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use tests::machine::Machine;
use tests::{gotrace, run_gotrace};

use super::harness::{DOWNLOADED, build, found, machine};

const NO_ENV: [(&str, &str); 0] = [];
const CONFIG: &str = "/etc/gotrace/gotrace.toml";
/// `CAP_BPF`, `CAP_PERFMON`, `CAP_LEASE`, `CAP_SYS_PTRACE`, `CAP_DAC_READ_SEARCH`, as in `include/uapi/linux/capability.h`.
const FIVE: u64 = 1 << 39 | 1 << 38 | 1 << 28 | 1 << 19 | 1 << 2;
/// Maximum exposure by `systemd-analyze security`.
const EXPOSURE: f64 = 3.1;

fn property(machine: &Machine, name: &str) -> String {
    let (printed, _) = machine.succeed(["systemctl", "show", "gotrace", "--value", "-p", name]);
    printed.trim().to_owned()
}

/// The service's process status, from the kernel.
fn status(machine: &Machine) -> BTreeMap<String, String> {
    let text = machine.path(&format!("/proc/{}/status", property(machine, "MainPID")));
    let text = fs::read_to_string(text).unwrap();
    let pairs = text.lines().filter_map(|it| it.split_once(':'));
    pairs
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

#[test]
fn one_command_installs_a_service_with_five_capabilities_and_another_removes_it() {
    let machine = machine();
    let (_, printed) = machine.succeed([DOWNLOADED, "install"]);
    assert!(
        printed.contains("the agent follows every Go build on this machine"),
        "{printed}"
    );
    let hash = build(&machine, "first");
    let first = found(&machine, "gotrace", "first");
    assert_eq!(first["state"], "succeeded", "{first:#}");
    assert_eq!(first["anomalies"], 0, "{first:#}");
    assert_eq!(first["lost"], 0, "{first:#}");
    assert_eq!(first["packages_compiled"], 1, "{first:#}");
    assert_eq!(first["targets"][0]["sha256"], hash.as_str(), "{first:#}");

    let status = status(&machine);
    for name in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(u64::from_str_radix(&status[name], 16), Ok(FIVE), "{name}");
    }
    // Toolchains belong to other users, which requires `CAP_LEASE`.
    let pid = property(&machine, "MainPID");
    let (locks, _) = machine.succeed(["cat", "/proc/locks"]);
    assert!(!tests::lease::inodes(&locks, &pid).is_empty(), "{locks}");
    let uids: Vec<&str> = status["Uid"].split_whitespace().collect();
    assert!(
        uids.iter().all(|it| *it == uids[0] && *it != "0"),
        "{uids:?}"
    );
    assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"));
    assert_eq!(property(&machine, "UnitFileState"), "enabled");
    assert_eq!(
        property(&machine, "DropInPaths")
            .matches("older-kernel")
            .count(),
        0
    );

    let (_, again) = machine.succeed([DOWNLOADED, "install"]);
    assert!(!again.contains("wrote"), "{again}");
    found(&machine, "gotrace", "first");

    let (_, printed) = machine.succeed(["gotrace", "uninstall"]);
    assert!(
        printed.contains("and /var/lib/gotrace: `gotrace uninstall --purge` removes them too"),
        "{printed}"
    );
    for path in [
        "bin/gotrace",
        "lib/systemd/system/gotrace.service",
        "share/man/man1/gotrace.1",
    ] {
        assert!(!machine.has(&format!("/usr/local/{path}")), "{path}");
    }
    assert_eq!(property(&machine, "LoadState"), "not-found");
    assert!(!machine.has("/sys/fs/bpf/gotrace"));
    found(&machine, DOWNLOADED, "first");

    machine.succeed([DOWNLOADED, "install"]);
    machine.succeed(["gotrace", "uninstall", "--purge"]);
    for path in ["/var/lib/gotrace", "/etc/gotrace", "/usr/local/bin/gotrace"] {
        assert!(!machine.has(path), "{path}");
    }
    assert!(!machine.run(["id", "gotrace"]).status.success());
    let (_, printed) = machine.succeed([DOWNLOADED, "uninstall", "--purge"]);
    assert!(
        printed.contains("nothing to remove: gotrace is not installed below /usr/local"),
        "{printed}"
    );
}

#[test]
fn the_unit_is_restricted_and_a_killed_service_restarts() {
    let machine = machine();
    machine.succeed([DOWNLOADED, "install"]);
    let (printed, _) = machine.succeed(["systemd-analyze", "security", "--no-pager", "gotrace"]);
    let last = printed.lines().last().unwrap_or_default();
    let (_, level) = last.split_once("gotrace.service: ").unwrap();
    let level: f64 = level.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level <= EXPOSURE, "{printed}");

    let pid = property(&machine, "MainPID");
    machine.succeed(["kill", "-KILL", &pid]);
    machine.wait_for("another process", |machine| {
        let is_back =
            property(machine, "ActiveState") == "active" && property(machine, "MainPID") != pid;
        is_back.then_some(())
    });
    let adopted = |n: usize| {
        machine.wait_for("the message about the previous agent's pins", |machine| {
            let (printed, _) = machine.succeed(["journalctl", "--unit=gotrace", "--output=cat"]);
            let all = printed.matches("resumed the traces of the previous agent");
            (all.count() == n).then_some(())
        });
    };
    adopted(1);
    build(&machine, "after");
    found(&machine, "gotrace", "after");
    machine.succeed([DOWNLOADED, "install"]);
    adopted(2);
    machine.succeed(["systemctl", "stop", "gotrace"]);
    let (left, _) = machine.succeed(["ls", "-A", "/sys/fs/bpf/gotrace"]);
    assert_eq!(left, "");
    machine.succeed(["systemctl", "start", "gotrace"]);

    machine.write(CONFIG, "keep_days = 7\n");
    machine.succeed(["systemctl", "reload", "gotrace"]);
    machine.wait_for("the message about the configuration", |machine| {
        let (printed, _) = machine.succeed(["journalctl", "--unit=gotrace", "--output=cat"]);
        printed.contains("configuration reloaded").then_some(())
    });
    machine.succeed([DOWNLOADED, "install"]);
    let kept = fs::read_to_string(machine.path(CONFIG)).unwrap();
    assert_eq!(kept, "keep_days = 7\n");

    let completions =
        "source /usr/local/share/bash-completion/completions/gotrace && complete -p gotrace";
    machine.succeed(["bash", "-c", completions]);
    let (page, _) = machine.succeed(["man", "--where", "gotrace-agent"]);
    // On Debian, /usr/local/man links to the directory in share.
    assert!(page.trim().ends_with("/man/man1/gotrace-agent.1"), "{page}");
}

#[test]
fn a_failed_installation_is_explained_and_succeeds_after_the_fix() {
    let machine = machine();
    let refused = machine.run(["runuser", "-u", "builder", "--", DOWNLOADED, "install"]);
    let printed = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{printed}");
    assert!(
        printed.contains("this needs root: `sudo gotrace install`"),
        "{printed}"
    );
    assert!(!machine.has("/usr/local/bin/gotrace") && !machine.has(CONFIG));

    machine.write(CONFIG, "keep_dayz = 7\n");
    let failed = machine.run([DOWNLOADED, "install"]);
    let printed = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(2), "{printed}");
    for part in [
        "wrote /usr/local/bin/gotrace",
        "cannot start gotrace.service",
        "/etc/gotrace/gotrace.toml:1: keep_dayz: unknown field",
        "fix this error and install again",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    machine.write(CONFIG, "keep_days = 7\n");
    machine.succeed([DOWNLOADED, "install"]);
    build(&machine, "mended");
    found(&machine, "gotrace", "mended");
}

#[test]
fn an_installation_into_another_tree_writes_files_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    let shown = root.to_str().unwrap();
    let args = ["install", "--root", shown, "--prefix", "/usr"];
    let would = run_gotrace(args.into_iter().chain(["--dry-run"]), NO_ENV);
    assert!(would.status.success() && !root.exists(), "{would:?}");
    let printed = String::from_utf8_lossy(&would.stderr).into_owned();
    assert!(
        printed.lines().all(|it| it.starts_with("gotrace: would ")),
        "{printed}"
    );
    assert!(!printed.contains("would remove"), "{printed}");

    let done = run_gotrace(args, NO_ENV);
    assert!(done.status.success(), "{done:?}");
    let program = fs::read(root.join("usr/bin/gotrace")).unwrap();
    assert!(program == fs::read(gotrace()).unwrap());
    let unit = root.join("usr/lib/systemd/system/gotrace.service");
    let text = fs::read_to_string(&unit).unwrap();
    assert!(
        text.contains("\nExecStart=/usr/bin/gotrace agent\n"),
        "{text}"
    );
    // systemd reads the unit unchanged, and finds the programs in that tree.
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/kill", root.join("bin/kill")).unwrap();
    let verified = Command::new("systemd-analyze")
        .args([
            "verify",
            "--man=no",
            "--recursive-errors=no",
            "--root",
            shown,
            "gotrace.service",
        ])
        .output()
        .unwrap();
    assert!(
        verified.status.success() && verified.stderr.is_empty(),
        "{verified:?}"
    );

    let gone = run_gotrace(
        ["uninstall", "--purge", "--root", shown, "--prefix", "/usr"],
        NO_ENV,
    );
    assert!(gone.status.success(), "{gone:?}");
    let left = Command::new("find")
        .args([shown, "-type", "f", "-not", "-name", "kill"])
        .output()
        .unwrap();
    assert!(left.stdout.is_empty(), "{left:?}");
}
