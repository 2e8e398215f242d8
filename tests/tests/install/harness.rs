//! A machine for an installation, and builds on it.

use serde_json::Value;
use tests::machine::{HOST_PROC, Machine};
use tests::{gotrace, toolchain};

/// Path of gotrace before the installation.
pub(super) const DOWNLOADED: &str = "/opt/gotrace";

/// A machine with an ordinary user and a downloaded gotrace.
pub(super) fn machine() -> Machine {
    let machine = Machine::boot();
    machine.copy(&gotrace(), DOWNLOADED);
    // systemd mounts this on a machine that is not a container.
    machine.succeed([
        "sh",
        "-c",
        "mountpoint -q /sys/fs/bpf || { mount -o remount,rw /sys; mkdir -p /sys/fs/bpf && mount -t bpf -o mode=0700 bpf /sys/fs/bpf; }",
    ]);
    machine.succeed(["useradd", "--create-home", "builder"]);
    // The kernel uses the process numbers of the outer machine. A physical machine has only these numbers.
    let proc = format!("[Service]\nBindPaths={HOST_PROC}:/proc\n");
    machine.write("/etc/systemd/system/gotrace.service.d/test.conf", proc);
    machine
}

/// Builds a module as an ordinary user in their home; returns the hash of the output.
pub(super) fn build(machine: &Machine, name: &str) -> String {
    let script = format!("{} && sha256sum made", build_script(name, ""));
    let (printed, _) = machine.succeed(["runuser", "-u", "builder", "--", "sh", "-c", &script]);
    printed.split_whitespace().next().unwrap().to_owned()
}

/// Script that creates a module in the home directory and builds it with these flags.
pub(super) fn build_script(name: &str, flags: &str) -> String {
    let go = toolchain("1.19").go.display().to_string();
    format!(
        "mkdir ~/{name} && cd ~/{name} && {go} mod init example.com/{name} 2>/dev/null && \
         echo 'package main; func main() {{ println(1) }}' > main.go && {go} build {flags} -o made ."
    )
}

/// The ended build of this module in the history.
pub(super) fn found(machine: &Machine, gotrace: &str, name: &str) -> Value {
    machine.wait_for(&format!("the build of {name}"), |machine| {
        let project = format!("example.com/{name}");
        listed(machine, gotrace)
            .into_iter()
            .filter(|it| it["state"] != "running" && it["command"] == "build")
            .find(|it| it["project"] == project.as_str())
    })
}

/// The last builds in the history.
pub(super) fn listed(machine: &Machine, gotrace: &str) -> Vec<Value> {
    let (printed, _) = machine.succeed([
        // Other builds run on this machine, too.
        gotrace, "builds", "--limit", "1000", "--format", "json",
    ]);
    let listed: Value = serde_json::from_str(&printed).unwrap();
    listed["builds"].as_array().unwrap().clone()
}
