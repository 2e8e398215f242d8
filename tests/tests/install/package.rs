//! The Debian package on a machine with systemd: installed, upgraded, removed and purged by dpkg.

use std::fs;
use std::process::Child;

use tests::machine::Machine;
use tests::package;

use super::harness::{DOWNLOADED, build, build_script, found, listed, machine};

const DEB: &str = "/opt/gotrace.deb";
const CONFIG: &str = "/etc/gotrace/gotrace.toml";
const SLOW: &str = "/opt/slow.sh";
const CONTINUE: &str = "/opt/go-on";
const RUNNER: &str = "/home/builder/actions-runner";

/// Runs without questions, because the test cannot answer.
fn dpkg(machine: &Machine, action: &[&str]) {
    let debconf = ["env", "DEBIAN_FRONTEND=noninteractive", "dpkg"];
    machine.succeed([&debconf[..], &["--force-confold"], action].concat());
}

/// Starts a build that waits for a file, and waits until the service observes it.
fn begin(machine: &Machine, name: &str) -> Child {
    machine.write(
        SLOW,
        format!(
            "#!/bin/sh\ncase $* in *-V=full*) ;; *) until [ -e {CONTINUE} ]; do sleep 0.1; done ;; esac\nexec \"$@\"\n"
        ),
    );
    machine.succeed(["chmod", "755", SLOW]);
    let script = build_script(name, &format!("-toolexec {SLOW}"));
    let child = machine
        .command(["runuser", "-u", "builder", "--", "sh", "-c", &script])
        .spawn()
        .unwrap();
    machine.wait_for("the build that waits", |machine| {
        listed(machine, "gotrace")
            .into_iter()
            .find(|it| it["state"] == "running" && it["command_line"].to_string().contains(SLOW))
    });
    child
}

fn property(machine: &Machine, name: &str) -> String {
    let show = ["systemctl", "show", "--value", "gotrace", "--property"];
    machine.succeed([&show[..], &[name]].concat()).0
}

#[test]
fn a_package_installs_and_removes_the_service() {
    let machine = machine();
    // If this machine is a container, its image can forbid packages to start services.
    machine.succeed(["rm", "--force", "/usr/sbin/policy-rc.d"]);
    machine.copy(&package(), DEB);
    dpkg(&machine, &["--install", DEB]);
    assert_eq!(property(&machine, "ActiveState"), "active\n");
    assert_eq!(property(&machine, "User"), "gotrace\n");
    let (enabled, _) = machine.succeed(["systemctl", "is-enabled", "gotrace"]);
    assert_eq!(enabled, "enabled\n");
    build(&machine, "packaged");
    let stored = found(&machine, "/usr/bin/gotrace", "packaged");
    assert_eq!(stored["state"], "succeeded", "{stored}");
    let (mode, _) = machine.succeed(["stat", "--format=%a %U", CONFIG]);
    assert_eq!(mode, "640 root\n");
    for page in [
        "/usr/share/bash-completion/completions/gotrace",
        "/usr/share/zsh/vendor-completions/_gotrace",
        "/usr/lib/sysusers.d/gotrace.conf",
    ] {
        assert!(machine.has(page), "{page}");
    }

    // `install` does not overwrite the package's files; it still configures runners.
    let refused = machine.run([DOWNLOADED, "install"]);
    let printed = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{printed}");
    assert!(
        printed.contains("a package has installed gotrace"),
        "{printed}"
    );
    let make = format!("mkdir {RUNNER} && cd {RUNNER} && touch run.sh && echo LANG=C.UTF-8 > .env");
    machine.succeed(["runuser", "-u", "builder", "--", "sh", "-c", &make]);
    machine.succeed(["gotrace", "install", "--runner-hooks", RUNNER]);
    let env = || fs::read_to_string(machine.path(&format!("{RUNNER}/.env"))).unwrap();
    assert!(
        env().contains("=/usr/lib/gotrace/job-completed.sh\n"),
        "{}",
        env()
    );
    assert!(!machine.has("/usr/local/bin/gotrace"));

    // A second installation is an upgrade: the service is a new process, and the operator's configuration stays.
    machine.write(CONFIG, "keep_days = 7\n");
    let pid = property(&machine, "MainPID");
    let mut under_way = begin(&machine, "across");
    dpkg(&machine, &["--install", DEB]);
    assert_ne!(property(&machine, "MainPID"), pid);
    assert_eq!(property(&machine, "ActiveState"), "active\n");
    let kept = fs::read_to_string(machine.path(CONFIG)).unwrap();
    assert_eq!(kept, "keep_days = 7\n");
    // The running build is complete, because the kernel programs did not change.
    machine.succeed(["touch", CONTINUE]);
    assert!(under_way.wait().unwrap().success());
    let across = found(&machine, "gotrace", "across");
    let id = across["id"].as_str().unwrap();
    let (shown, _) = machine.succeed(["gotrace", "show", id]);
    assert_eq!(across["state"], "succeeded", "{shown}");
    assert_eq!(across["anomalies"], 0, "{shown}");
    assert!(shown.contains("made"), "{shown}");
    build(&machine, "upgraded");
    found(&machine, "gotrace", "upgraded");

    dpkg(&machine, &["--remove", "gotrace"]);
    assert_eq!(env(), "LANG=C.UTF-8\n");
    for gone in [
        "/usr/bin/gotrace",
        "/usr/lib/gotrace",
        "/usr/lib/systemd/system/gotrace.service",
    ] {
        assert!(!machine.has(gone), "{gone}");
    }
    assert_ne!(property(&machine, "ActiveState"), "active\n");
    assert!(machine.has(CONFIG) && machine.has("/var/lib/gotrace/history.db"));
    dpkg(&machine, &["--purge", "gotrace"]);
    assert!(!machine.has("/etc/gotrace") && !machine.has("/var/lib/gotrace"));
    assert!(
        !machine
            .run(["getent", "passwd", "gotrace"])
            .status
            .success()
    );
}
