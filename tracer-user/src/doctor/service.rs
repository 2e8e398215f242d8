//! Checks the agent of this machine: its configuration, its history, its disk and its pages.
//!
//! A machine without an agent has no problem: `gotrace run` needs none of these.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Check;
use crate::agent::Config;
use crate::agent::local::{LocalAgent, Page};
use crate::config::{DEFAULT_PATH, File, Layer};
use crate::history::Location;
use crate::install;

/// Time limit of the request to the agent.
const PATIENCE: Duration = Duration::from_millis(400);
/// Maximum size of its answer.
const LENGTH: usize = 64 << 10;
/// Free space below which the history may soon be unable to grow.
const LOW_BYTES: u64 = 100_000_000;

/// The checks. An unusable configuration leaves the defaults for the other checks.
pub(super) fn checks() -> Vec<Check> {
    let (configuration, config) = configuration();
    let mut checks = vec![configuration, history(&config.store), disk(&config.store)];
    let is_installed = install::is_installed();
    let agent = LocalAgent::of(&config);
    checks.extend(agent.map(|it| service(&it, is_installed)));
    checks
}

fn configuration() -> (Check, Config) {
    const NAME: &str = "configuration";
    let file = File::read(None);
    let checked = file.map_err(anyhow::Error::from).and_then(|file| {
        let layer = Layer::of(&file)?;
        let config = Config::of(layer.clone());
        let checked = layer.check().and_then(|()| config.check());
        checked.map_err(|error| file.locate(error))?;
        Ok((file.exists(), config))
    });
    match checked {
        Ok((true, config)) => (
            Check::fine(NAME, format!("the agent accepts {DEFAULT_PATH}")),
            config,
        ),
        Ok((false, config)) => (
            Check::fine(
                NAME,
                format!("no {DEFAULT_PATH}: the agent has its defaults"),
            ),
            config,
        ),
        Err(error) => (
            Check::limited(
                NAME,
                format!("{error:#}"),
                "correct it, then run `gotrace config check`",
            ),
            Config::of(Layer::default()),
        ),
    }
}

fn history(store: &Path) -> Check {
    const NAME: &str = "history";
    if fs::symlink_metadata(store).is_err() {
        let found = format!("no {} yet, or this user may not read it", store.display());
        return Check::fine(NAME, found);
    }
    match Location::File(store.to_owned()).read(|_| Ok(())) {
        Ok(()) => {
            let bytes = fs::metadata(store).map_or(0, |it| it.len());
            let megabytes = bytes.div_ceil(1_000_000);
            Check::fine(NAME, format!("{} has {megabytes} MB", store.display()))
        }
        Err(error) => {
            let cause = error.cause.to_string();
            Check::limited(NAME, store.display().to_string(), cause)
        }
    }
}

fn disk(store: &Path) -> Check {
    const NAME: &str = "disk";
    let existing = store.ancestors().skip(1).find(|it| it.is_dir());
    let Some((dir, space)) = existing.and_then(|it| Some((it, rustix::fs::statvfs(it).ok()?)))
    else {
        return Check::fine(NAME, "free space is not known");
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let found = format!("{} MB free for {}", free / 1_000_000, dir.display());
    if free < LOW_BYTES {
        Check::limited(
            NAME,
            found,
            "free some space, or lower keep_megabytes in the configuration",
        )
    } else {
        Check::fine(NAME, found)
    }
}

fn service(agent: &LocalAgent, is_installed: bool) -> Check {
    const NAME: &str = "service";
    let ready = agent.get("/-/ready", PATIENCE, LENGTH);
    let url = agent.url("");
    match ready {
        Ok(Page { status: 200, .. }) => {
            Check::fine(NAME, format!("an agent at {url} follows builds"))
        }
        Ok(Page { status: 401, .. }) => Check::limited(
            NAME,
            format!("an agent at {url} answers, but requires a token for /-/ready"),
            "add \"/-/\" to http.without_token, or let this user read http.token_file over TLS or a Unix socket",
        ),
        Ok(Page { body, .. }) => {
            let body = String::from_utf8_lossy(&body);
            let why = body.lines().next().unwrap_or_default();
            Check::limited(
                NAME,
                format!("the agent at {url} is not ready: {why}"),
                "read its journal: journalctl --unit gotrace",
            )
        }
        Err(error) if is_installed => Check::limited(
            NAME,
            format!("installed, but no agent answers at {url}: {error}"),
            "start it: sudo systemctl start gotrace",
        ),
        Err(_) => Check::fine(NAME, "not installed; `sudo gotrace install` installs it"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::super::Verdict;
    use super::*;
    use crate::config::ListenAddress;

    fn agent(listener: &TcpListener) -> LocalAgent {
        let listen = ListenAddress::Tcp(listener.local_addr().unwrap());
        let layer = Layer {
            listen: Some(listen),
            ..Layer::default()
        };
        LocalAgent::of(&Config::of(layer)).unwrap()
    }

    #[test]
    fn an_agent_that_is_absent_matters_only_if_it_is_installed() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let agent = agent(&free);
        drop(free);
        assert_eq!(service(&agent, false).verdict, Verdict::Fine);
        let absent = service(&agent, true);
        assert_eq!(absent.verdict, Verdict::Limited);
        assert!(absent.advice.unwrap().contains("systemctl start"));
    }

    #[test]
    fn the_reason_of_an_agent_that_is_not_ready_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let agent = agent(&listener);
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _n = stream.read(&mut request).unwrap();
            stream
                .write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 21\r\n\r\nthe self-test failed\n")
                .unwrap();
        });
        let check = service(&agent, true);
        server.join().unwrap();
        assert_eq!(check.verdict, Verdict::Limited);
        assert!(check.found.ends_with("the self-test failed"), "{check:?}");
    }

    #[test]
    fn a_file_that_is_no_history_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("history.db");
        assert_eq!(history(&file).verdict, Verdict::Fine);
        fs::write(
            &file,
            "no database, but long enough to be read as one".repeat(50),
        )
        .unwrap();
        assert_eq!(history(&file).verdict, Verdict::Limited);
        assert_eq!(disk(Path::new("/proc/x")).verdict, Verdict::Limited);
    }
}
