//! Examines the machine: the user, systemd, the kernel's requirements, and the state of the service. Changes nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::layout::{PINNED, UNIT};
use crate::agent;
use crate::agent::local::{LocalAgent, Page};
use crate::bpf::{self, SetupError, Tracer, pin};
use crate::config::Layer;
use crate::toolchain;

/// Maximum time for the start of the service. It takes less than a second on an idle machine.
const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);
/// Limits of one answer of the service.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: usize = 64 << 10;

/// The exit status of a process that systemd cannot move into its control group, see `systemd.exec`(5).
const EXIT_CGROUP: u32 = 219;

/// Capabilities that this kernel requires for probing a toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachPrivilege {
    /// `CAP_BPF` and `CAP_PERFMON`.
    Least,
    /// `CAP_SYS_ADMIN`, because the kernel has no `uprobe_multi` links.
    SysAdmin,
}

pub(super) fn need_root(word: &str) -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    bail!("this needs root: `sudo gotrace {word}` (--dry-run prints the steps without root)")
}

/// True if systemd runs services here, by the rule of `sd_booted`(3).
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The content of the running program, even if its file has been replaced.
pub(super) fn own_program() -> anyhow::Result<Vec<u8>> {
    fs::read("/proc/self/exe").context("cannot read this program: /proc/self/exe")
}

/// Loads and unloads the BPF programs to detect what the kernel requires; never guesses it from a version.
pub(super) fn required_privilege() -> Result<AttachPrivilege, SetupError> {
    let config = bpf::Config {
        ring_bytes: 0,
        ..bpf::Config::default()
    };
    let (tracer, _ring) = Tracer::load(&config, &toolchain::table())?;
    Ok(if tracer.has_multi_links() {
        AttachPrivilege::Least
    } else {
        AttachPrivilege::SysAdmin
    })
}

/// Announces to a running service that another one follows within a minute, so it leaves its probes attached.
pub(super) fn announce_upgrade() {
    // A service without pinned objects marks its running builds as cut off.
    let _unpinned = pin::announce_upgrade(Path::new(PINNED));
}

/// Waits until the service reports that it traces builds.
pub(super) fn wait_until_ready(config: &Path, print: fn(&str)) -> anyhow::Result<()> {
    let config = agent::Config::of(Layer::read(Some(config))?);
    let Some(agent) = LocalAgent::of(&config) else {
        // The restart returned, so the service has notified systemd.
        print("the agent follows every Go build on this machine; its HTTP pages are disabled");
        return Ok(());
    };
    let since = Instant::now();
    loop {
        let why = match agent.get("/-/ready", ANSWER_TIMEOUT, ANSWER_LIMIT) {
            // If the page requires a token that is not sent, the answer proves that the agent runs. It has notified systemd.
            Ok(Page {
                status: 200 | 401, ..
            }) => break,
            Ok(Page { status, .. }) => format!("status {status}"),
            Err(error) => error.to_string(),
        };
        if since.elapsed() > TIMEOUT {
            bail!(
                "the service started, but did not report ready at {} within {} s ({why}); {}",
                agent.url("/-/ready"),
                TIMEOUT.as_secs(),
                last_words()
            );
        }
        thread::sleep(PAUSE);
    }
    print(&format!(
        "the agent follows every Go build on this machine: metrics at {}",
        agent.url("/metrics")
    ));
    Ok(())
}

/// True if systemd failed to move the last process of the service into its control group.
pub(super) fn lacked_a_control_group() -> bool {
    let status = format!("ExecMainStatus={EXIT_CGROUP}");
    main_process().split(' ').any(|it| it == status)
}

/// The end of a message about a service that does not start: the properties of its main process, and the last lines of its journal. A
/// process that ends at once may have left no line.
pub(super) fn last_words() -> String {
    format!("{}; {}", main_process(), journal_tail())
}

/// `Result=exit-code NRestarts=0 ExecMainCode=1 ExecMainStatus=219`.
fn main_process() -> String {
    let properties = "--property=Result,ExecMainCode,ExecMainStatus,NRestarts";
    let output = Command::new("systemctl")
        .args(["show", properties, UNIT])
        .output();
    let properties = output.map(|it| {
        let text = String::from_utf8_lossy(&it.stdout).into_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    properties.unwrap_or_else(|error| format!("systemctl: {error}"))
}

fn journal_tail() -> String {
    let output = Command::new("journalctl")
        .args(["--unit", UNIT, "--lines=10", "--no-pager", "--output=cat"])
        .output();
    match output {
        Ok(output) => {
            let journal = String::from_utf8_lossy(&output.stdout);
            format!("its journal ends with:\n{}\n", journal.trim_end())
        }
        Err(error) => format!("its journal cannot be read: journalctl: {error}"),
    }
}
