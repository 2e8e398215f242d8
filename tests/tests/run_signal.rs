//! Signals and the terminal under `gotrace run`: each signal reaches the command once, as without gotrace.
#![cfg(test)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tests::{gotrace, gotrace_command};

const NO_ENV: [(&str, &str); 0] = [];
const PATIENCE: Duration = Duration::from_mins(1);
/// The same limit, for a terminal.
const LIMIT: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// A shell script under `gotrace run`, whose output is read line by line.
struct Script {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Script {
    fn start(script: &str) -> Self {
        let mut child = gotrace_command(NO_ENV)
            .args(["run", "--quiet", "--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends a signal to gotrace only.
    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Returns all further output, and the exit status.
    fn finish(mut self) -> (String, ExitStatus) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap())
    }
}

/// A script that counts a signal, and ends at the end of its input.
fn counting(name: &str) -> String {
    // `read` returns on a trapped signal, so only the end of the input ends the loop.
    format!(
        "n=0; trap 'n=$((n+1)); echo caught $n' {name}; echo ready; \
         while :; do if read line; then echo \"line $line\"; elif [ $? -lt 128 ]; then break; fi; done; echo total $n"
    )
}

#[test]
fn a_signal_to_gotrace_only_reaches_the_command_once() {
    for name in ["TERM", "HUP", "INT", "QUIT", "USR1", "USR2"] {
        let mut script = Script::start(&counting(name));
        assert_eq!(script.line(), "ready");
        script.signal(name);
        assert_eq!(script.line(), "caught 1", "{name}");
        let (rest, status) = script.finish();
        assert_eq!(
            (rest.as_str(), status.code()),
            ("total 1\n", Some(0)),
            "{name}"
        );
    }
}

#[test]
fn a_command_killed_by_a_forwarded_signal_is_reported_as_such() {
    let mut script = Script::start("echo ready; exec sleep 600");
    assert_eq!(script.line(), "ready");
    script.signal("TERM");
    assert_eq!(script.finish().1.code(), Some(143));
}

#[test]
fn a_signal_to_the_whole_group_is_not_forwarded_back_to_the_command() {
    // gotrace belongs to that group. The script has a group of its own, so that the test does not belong to it.
    let mut command = Command::new("setsid");
    command
        .args(["--wait"])
        .arg(gotrace())
        .args(["run", "--quiet", "--", "bash", "-c"]);
    let script = "n=0; trap 'n=$((n+1))' TERM; kill -TERM 0; for i in $(seq 200); do sleep 0.005; done; echo total $n";
    let output = command.arg(script).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "total 1\n",
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_stopped_command_stops_gotrace_and_both_continue_together() {
    let mut script = Script::start("echo ready; kill -STOP $$; echo went on");
    assert_eq!(script.line(), "ready");
    let stat = format!("/proc/{}/stat", script.child.id());
    let since = Instant::now();
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        assert!(since.elapsed() < PATIENCE, "gotrace did not stop");
        std::thread::yield_now();
    }
    script.signal("CONT");
    let (rest, status) = script.finish();
    assert_eq!((rest.as_str(), status.code()), ("went on\n", Some(0)));
}

/// A command on its own terminal (made by `script`): the test writes keys and reads the display.
struct Terminal {
    child: Child,
    shown: String,
}

impl Terminal {
    fn start(command: &str) -> Self {
        let child = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--flush",
                "--command",
                // Without `exec`, dash stays as the parent and also receives the interrupt key; its 130 hides the command's status.
                &format!("exec {command}"),
                "/dev/null",
            ])
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            shown: String::new(),
        }
    }

    fn press(&mut self, keys: &str) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(keys.as_bytes())
            .unwrap();
    }

    /// Reads until the terminal has displayed `text`; discards earlier output.
    fn wait_for(&mut self, text: &str) {
        while !self.shown.contains(text) {
            let Some(byte) = self.next() else {
                panic!("the terminal showed {:?} and not {text:?}", self.shown);
            };
            self.shown.push(char::from(byte));
        }
        self.shown.clear();
    }

    /// The next byte of the display; `None` after the terminal closed. Fails after a timeout.
    fn next(&mut self) -> Option<u8> {
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut ready = [PollFd::new(stdout, PollFlags::IN)];
        let n_ready = poll(&mut ready, Some(&LIMIT)).unwrap();
        assert!(n_ready == 1, "no further output after {:?}", self.shown);
        let mut byte = [0];
        let n = stdout.read(&mut byte).unwrap();
        byte.get(..n)?.first().copied()
    }

    fn finish(mut self) -> ExitStatus {
        while self.next().is_some() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Terminal {
    /// Cleans up after a failed test: the end of `script` closes its terminal and ends the programs on it.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_interrupt_key_reaches_the_command_once_and_gotrace_still_reports() {
    let script = counting("INT").replace('\'', "'\\''");
    let mut terminal = Terminal::start(&format!(
        "{} run -- bash -c '{script}'",
        gotrace().display()
    ));
    terminal.wait_for("ready");
    terminal.press("\u{3}");
    terminal.wait_for("caught 1");
    terminal.press("more\n");
    terminal.wait_for("line more");
    terminal.press("\u{4}");
    terminal.wait_for("total 1");
    terminal.wait_for("Tracing");
    assert_eq!(terminal.finish().code(), Some(0));
}

#[test]
fn the_interrupt_key_ends_a_command_as_without_gotrace() {
    let mut terminal = Terminal::start(&format!(
        "{} run -- sh -c 'echo ready; exec sleep 600'",
        gotrace().display()
    ));
    terminal.wait_for("ready");
    terminal.press("\u{3}");
    terminal.wait_for("Tracing");
    assert_eq!(terminal.finish().code(), Some(130));
}

#[test]
fn the_suspend_key_returns_to_the_shell_and_fg_continues() {
    let mut terminal = Terminal::start("env PS1='prompt> ' bash --norc --noprofile -i");
    terminal.wait_for("prompt> ");
    terminal.press(&format!(
        "{} run -q -- sh -c 'echo rea''dy; read line; echo \"line $line\"'\n",
        gotrace().display()
    ));
    terminal.wait_for("ready");
    terminal.press("\u{1a}");
    terminal.wait_for("Stopped");
    // The echoed command line contains the command, too. Only the text after the prompt comes from `fg`.
    terminal.wait_for("prompt> ");
    terminal.press("fg\n");
    terminal.wait_for("run -q");
    terminal.press("more\n");
    terminal.wait_for("line more");
    terminal.press("exit 5\n");
    assert_eq!(terminal.finish().code(), Some(5));
}

#[test]
fn the_command_owns_the_terminal() {
    let mut terminal = Terminal::start(&format!(
        "{} run -q -- sh -c 'test -t 0 && test -t 1 && test -t 2 && tty; stty size | wc -w'",
        gotrace().display()
    ));
    terminal.wait_for("/dev/pts/");
    terminal.wait_for("2\r\n");
    assert_eq!(terminal.finish().code(), Some(0));
}
