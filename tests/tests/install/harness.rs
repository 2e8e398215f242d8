//! A machine to install on, and a build on it.

use serde_json::Value;
use tests::machine::{HOST_PROC, Machine};
use tests::{gotrace, toolchain};

/// Where gotrace is before it is installed.
pub(super) const DOWNLOADED: &str = "/opt/gotrace";

/// A machine with a user who builds, and a gotrace that was downloaded to it.
pub(super) fn machine() -> Machine {
    let machine = Machine::boot();
    machine.copy(&gotrace(), DOWNLOADED);
    // As systemd mounts it on a machine that is no container.
    machine.succeed([
        "sh",
        "-c",
        "mountpoint -q /sys/fs/bpf || { mount -o remount,rw /sys; mkdir -p /sys/fs/bpf && mount -t bpf -o mode=0700 bpf /sys/fs/bpf; }",
    ]);
    machine.succeed(["useradd", "--create-home", "builder"]);
    // The kernel knows processes by the numbers of the machine outside, which a machine of metal would have itself.
    let proc = format!("[Service]\nBindPaths={HOST_PROC}:/proc\n");
    machine.write("/etc/systemd/system/gotrace.service.d/test.conf", proc);
    machine
}

/// Builds a module as an ordinary user, in their home; the hash of what came out.
pub(super) fn build(machine: &Machine, name: &str) -> String {
    let script = format!("{} && sha256sum made", build_script(name, ""));
    let (said, _) = machine.succeed(["runuser", "-u", "builder", "--", "sh", "-c", &script]);
    said.split_whitespace().next().unwrap().to_owned()
}

/// Makes a module in one's home, and builds it with these flags.
pub(super) fn build_script(name: &str, flags: &str) -> String {
    let go = toolchain("1.19").go.display().to_string();
    format!(
        "mkdir ~/{name} && cd ~/{name} && {go} mod init example.com/{name} 2>/dev/null && \
         echo 'package main; func main() {{ println(1) }}' > main.go && {go} build {flags} -o made ."
    )
}

/// That build in the history, when it is over.
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
    let (said, _) = machine.succeed([
        // Others build on this machine, too.
        gotrace, "builds", "--limit", "1000", "--format", "json",
    ]);
    let listed: Value = serde_json::from_str(&said).unwrap();
    listed["builds"].as_array().unwrap().clone()
}
