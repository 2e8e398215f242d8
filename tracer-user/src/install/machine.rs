//! What the machine says of itself: who runs this, whether systemd does, what the kernel takes, and whether the service has come up.
//! Changes nothing.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::layout::{PINNED, UNIT};
use crate::agent;
use crate::bpf::{self, SetupError, Tracer, pin};
use crate::config::Layer;
use crate::toolchain;

/// How long the service has to come up. It takes less than a second where the machine has nothing else to do.
const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

/// What the kernel wants of whoever attaches to a toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachPrivilege {
    /// `CAP_BPF` and `CAP_PERFMON`.
    Least,
    /// `CAP_SYS_ADMIN`: it has no `uprobe_multi` links.
    SysAdmin,
}

pub(super) fn need_root(word: &str) -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    bail!("this needs root: `sudo gotrace {word}`; --dry-run says what it would do")
}

/// Whether systemd is what runs services here, as `sd_booted`(3) finds out.
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The program that is running, whatever has become of its file.
pub(super) fn own_program() -> anyhow::Result<Vec<u8>> {
    fs::read("/proc/self/exe").context("cannot read this program: /proc/self/exe")
}

/// Loads the kernel programs and takes them out again; what it takes is never guessed from a version.
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

/// Tells the service that runs, if there is one, that it will be followed by another within a minute: it leaves all on.
pub(super) fn announce_upgrade() {
    // A service that pins nothing marks what it was following as cut off.
    let _unpinned = pin::announce_upgrade(Path::new(PINNED));
}

/// Waits until the service says that it follows builds.
pub(super) fn wait_until_ready(config: &Path, print: fn(&str)) -> anyhow::Result<()> {
    let config = agent::Config::of(Layer::read(Some(config))?);
    let Some(address) = config.listen.map(reachable) else {
        // It had told systemd so when the restart returned.
        print("the agent follows every Go build on this machine; its pages are off");
        return Ok(());
    };
    let client: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .proxy(None)
        .build()
        .into();
    let url = format!("http://{address}/-/ready");
    let since = Instant::now();
    loop {
        match client.get(&url).call() {
            Ok(_) => break,
            Err(error) if since.elapsed() > TIMEOUT => {
                bail!(
                    "the service was started, but did not say within {} s at {url} that it follows builds ({error}); {}",
                    TIMEOUT.as_secs(),
                    journal_tail()
                );
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
    print(&format!(
        "the agent follows every Go build on this machine: metrics at http://{address}/metrics"
    ));
    Ok(())
}

/// Where something that listens on all addresses is reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What the service told the journal last, as the end of a sentence.
pub(super) fn journal_tail() -> String {
    let output = Command::new("journalctl")
        .args(["--unit", UNIT, "--lines=10", "--no-pager", "--output=cat"])
        .output();
    match output {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            format!("its journal ends with:\n{}\n", said.trim_end())
        }
        Err(error) => format!("its journal cannot be read: journalctl: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_at_one_of_them() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:10127"), "127.0.0.1:10127");
        assert_eq!(reached("[::]:10127"), "[::1]:10127");
        assert_eq!(reached("192.0.2.1:1"), "192.0.2.1:1");
    }
}
