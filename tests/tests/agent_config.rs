//! The configuration of a real agent: which source wins, how mistakes are reported, and how a reload behaves.
#![cfg(test)]

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::agent::{Agent, page, wait_for_page};
use tests::run_gotrace;

const NO_ENV: [(&str, &str); 0] = [];

const RELOADED: &str = "gotrace_config_last_reload_successful";

struct ConfigFile {
    dir: TempDir,
    file: PathBuf,
}

impl ConfigFile {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gotrace.toml");
        Self { dir, file }
    }

    /// Writes a configuration with the path of the history and `rest`.
    fn write(&self, rest: &str) {
        write(&self.file, self.dir.path(), rest);
    }
}

fn write(file: &Path, dir: &Path, rest: &str) {
    let store = dir.join("history.db");
    fs::write(file, format!("store = {store:?}\n{rest}")).unwrap();
}

fn refused(args: &[&str], env: &[(&str, &str)]) -> String {
    let output = run_gotrace(args, env.iter().copied());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_mistake_is_reported_with_file_line_and_key_and_prevents_the_start() {
    let config = ConfigFile::new();
    config.write("keep_days = 3\nkeep_dayz = \"hunter2\"\n");
    let file = config.file.to_str().unwrap();
    for printed in [
        refused(&["agent", "--config", file], &[]),
        refused(&["agent"], &[("GOTRACE_CONFIG", file)]),
        refused(&["config", "check", file], &[]),
    ] {
        let position = format!("{file}:3: keep_dayz: unknown field");
        assert!(printed.contains(&position), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    let missing = refused(&["agent", "--config", "/nowhere/gotrace.toml"], &[]);
    assert!(missing.contains("/nowhere/gotrace.toml"), "{missing}");
    let variable = refused(&["agent"], &[("GOTRACE_KEEP_DAYS", "many")]);
    assert!(variable.contains("--keep-days"), "{variable}");
    assert!(!config.dir.path().join("history.db").exists());
}

/// The check and the start report the same error.
#[test]
fn the_check_refuses_what_the_agent_refuses() {
    let config = ConfigFile::new();
    let file = config.file.to_str().unwrap();
    let otlp = "[otlp]\nendpoint = \"http://127.0.0.1:1\"\n";
    for (text, position) in [
        ("[otlp]\n".to_owned(), "3: otlp"),
        (
            format!("{otlp}headers_file = \"/nowhere/x\"\n"),
            "5: otlp.headers_file: ",
        ),
        (
            "[textfile]\ndirectory = \"/nowhere/x\"\n".to_owned(),
            "4: textfile.directory: ",
        ),
        ("[central]\ntenant = \"a\"\n".to_owned(), "3: central: "),
        (
            "[pushgateway]\nurl = \"http://127.0.0.1:1\"\nusername = \"a\"\n".to_owned(),
            "5: pushgateway.username: ",
        ),
    ] {
        config.write(&format!("listen = \"none\"\n{text}"));
        let checked = refused(&["config", "check", file], &[]);
        let started = refused(&["agent", "--config", file], &[]);
        assert!(checked.contains(&format!("{file}:{position}")), "{checked}");
        let cause = checked.strip_prefix("gotrace: ").unwrap();
        assert!(started.ends_with(cause), "{started}");
    }
    let foreign = config.dir.path().join("notes.txt");
    fs::write(&foreign, "not a history\n".repeat(100)).unwrap();
    let foreign = foreign.to_str().unwrap();
    let args = ["--listen", "none", "--store", foreign];
    for command in [
        &["config", "check", "/dev/null"][..],
        &["agent", "--config", "/dev/null"],
    ] {
        let printed = refused(&[command, &args].concat(), &[]);
        assert!(printed.contains("is not a history of gotrace"), "{printed}");
    }
    let flag = refused(
        &["config", "check", file, "--store", "mysql://u:hunter2@h/d"],
        &[],
    );
    assert!(flag.contains("--store or GOTRACE_STORE: store: "), "{flag}");
    assert!(!flag.contains("hunter2"), "{flag}");
}

#[test]
fn the_example_configuration_is_valid() {
    let config = ConfigFile::new();
    let example = run_gotrace(["config", "example"], NO_ENV);
    assert!(example.status.success());
    fs::write(&config.file, &example.stdout).unwrap();
    let checked = run_gotrace(["config", "check", config.file.to_str().unwrap()], NO_ENV);
    assert!(checked.status.success(), "{checked:?}");
}

/// The status of a page on a Unix socket, requested with a token.
fn status(socket: &Path, token: &str) -> String {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ])
        .args([
            "--header",
            &format!("Authorization: Bearer {token}"),
            "--unix-socket",
        ])
        .arg(socket)
        .arg("http://localhost/api/v1/builds")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_configuration_is_reloaded_on_request_and_an_invalid_one_changes_nothing() {
    let config = ConfigFile::new();
    config.write("listen = \"127.0.0.1:0\"\n");
    let ConfigFile { dir, file } = config;
    let mut agent = Agent::launch(dir, &["--config", file.to_str().unwrap()]);
    let first = agent.address().to_owned();
    assert!(
        agent.store().exists(),
        "the history is at the configured path"
    );
    agent.wait_for_page("/metrics", &format!("{RELOADED} 1\n"));

    write(&file, agent.dir(), "listen = \"none\"\nkeep_days = -1\n");
    agent.signal("HUP");
    let printed =
        agent.wait_for_log("cannot reload the configuration, the previous one stays active");
    assert!(printed.contains("gotrace.toml:3: keep_days: "), "{printed}");
    agent.wait_for_page("/metrics", &format!("{RELOADED} 0\n"));

    // After the reload, the pages have a new port and the old one is closed. The log reports that the history stays in place.
    write(
        &file,
        &agent.dir().join("elsewhere"),
        "listen = \"[::1]:0\"\ndetail = \"cache-key\"\n",
    );
    agent.signal("HUP");
    let printed = agent.wait_for_log("pages are now at");
    let (_, second) = printed.trim_end().split_once("http://").unwrap();
    agent.wait_for_log("the new value of store needs a restart of the agent");
    assert!(TcpStream::connect(&first).is_err(), "{first} still listens");
    wait_for_page(second, "/-/ready", "gotrace follows builds");
    wait_for_page(second, "/metrics", &format!("{RELOADED} 1\n"));

    // If the new address is not available, the pages keep the old one.
    write(&file, agent.dir(), "listen = \"192.0.2.1:1\"\n");
    agent.signal("HUP");
    let printed =
        agent.wait_for_log("cannot reload the configuration, the previous one stays active");
    assert!(
        printed.contains("cannot serve pages on 192.0.2.1:1"),
        "{printed}"
    );
    assert!(page(second, "/-/healthy").ends_with('\n'));

    let socket = agent.dir().join("s");
    let token = agent.dir().join("token");
    fs::write(&token, "first\n").unwrap();
    let protected = format!(
        "listen = \"unix:{}\"\n[http]\ntoken_file = {token:?}\n",
        socket.display()
    );
    write(
        &file,
        agent.dir(),
        &format!("{protected}[log]\nformat = \"json\"\n"),
    );
    agent.signal("HUP");
    agent.wait_for_log(r#""message":"configuration reloaded""#);
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(status(&socket, "first"), "200");
    fs::write(&token, "second\n").unwrap();
    agent.wait_for_log("certificate and tokens of the pages reloaded");
    assert_eq!(status(&socket, "first"), "401");
    assert_eq!(status(&socket, "second"), "200");
    let (_dir, printed) = agent.stop_with_log();
    assert!(!socket.exists());
    let ended = printed.lines().last().unwrap();
    let ended: Value = serde_json::from_str(ended).unwrap();
    assert_eq!(
        (&ended["level"], &ended["stored"]),
        (&json!("info"), &json!(0))
    );
}
