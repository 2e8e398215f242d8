//! `sudo gotrace run -- go build`: the command runs as the caller, with the caller's environment, and leaves no root-owned file in
//! the cache.
#![cfg(test)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use tests::{gotrace, toolchain};

/// A user with sudo rights, for one test.
struct User {
    name: String,
    uid: u32,
    rights: PathBuf,
    dir: TempDir,
}

impl User {
    fn new(test: &str) -> Self {
        let name = format!("gotrace-{test}-{}", std::process::id());
        sh(&format!(
            "useradd --create-home --shell /bin/sh --groups audio {name}"
        ));
        // sudo ignores files whose name contains a dot.
        let rights = PathBuf::from(format!("/etc/sudoers.d/{name}"));
        fs::write(&rights, format!("{name} ALL=(ALL) NOPASSWD: ALL\n")).unwrap();
        sh(&format!("chmod 440 {}", rights.display()));
        let uid = sh(&format!("id -u {name}")).trim().parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::copy(gotrace(), dir.path().join("gotrace")).unwrap();
        sh(&format!(
            "chown -R {name} {0} && chmod -R a+rx {0}",
            dir.path().display()
        ));
        Self {
            name,
            uid,
            rights,
            dir,
        }
    }

    /// Runs a shell script as this user, with a plain environment and these variables. `$gotrace` is gotrace's path.
    fn run(&self, variables: &[(&str, &str)], script: &str) -> Output {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            &self.name,
            "--regid",
            &self.name,
            "--init-groups",
            "sh",
            "-c",
            script,
        ]);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home())
            .env("USER", &self.name);
        command
            .env("gotrace", self.dir.path().join("gotrace"))
            .envs(variables.iter().copied());
        command.current_dir(self.dir.path()).output().unwrap()
    }

    fn home(&self) -> PathBuf {
        Path::new("/home").join(&self.name)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.rights);
        let _gone = Command::new("userdel")
            .args(["--remove", &self.name])
            .output();
    }
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "`{script}`: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_command_runs_as_the_caller_in_the_callers_environment() {
    let user = User::new("env");
    let show = "id -u; id -g; id -Gn; env | grep -v '^_=' | sort";
    let variables = [
        ("GOFLAGS", "-v"),
        ("HOME", "/somewhere/else"),
        ("PATH", "/opt/go/bin:/usr/bin:/bin"),
        ("LD_X", "kept"),
    ];
    let plain = stdout(&user.run(&variables, &format!("sh -c '{show}'")));
    let traced = stdout(&user.run(
        &variables,
        &format!("sudo $gotrace run -q -- sh -c '{show}'"),
    ));
    assert_eq!(traced, plain);
}

#[test]
fn variables_set_between_sudo_and_gotrace_apply() {
    let user = User::new("set");
    let variables = [("GOFLAGS", "-v"), ("CGO_ENABLED", "1")];
    let on_the_line = "sudo CGO_ENABLED=0 $gotrace run -q -- sh -c 'echo $GOFLAGS $CGO_ENABLED'";
    assert_eq!(stdout(&user.run(&variables, on_the_line)), "-v 0\n");
    let in_a_script = "sudo sh -c \"export PATH=/opt/x:/usr/bin:/bin; $gotrace run -q -- sh -c 'echo \\$PATH \\$GOFLAGS'\"";
    assert_eq!(
        stdout(&user.run(&variables, in_a_script)),
        "/opt/x:/usr/bin:/bin -v\n"
    );
}

#[test]
fn the_command_runs_as_root_on_request() {
    let user = User::new("root");
    assert_eq!(
        stdout(&user.run(&[], "sudo $gotrace run -q --as-root -- id -u")),
        "0\n"
    );
}

#[test]
fn the_build_and_all_written_files_belong_to_the_caller() {
    let user = User::new("go");
    let toolchain = toolchain("1.27");
    let path = format!("{}:/usr/bin:/bin", toolchain.go.parent().unwrap().display());
    let script = "mkdir m && cd m && printf 'module example.com/m\\n\\ngo 1.21\\n' > go.mod && \
                  printf 'package main\\nfunc main() {}\\n' > main.go && \
                  sudo $gotrace run --format json -o report.json --record r.gotrace --metrics m.prom -- go build -o out .";
    let variables = [
        ("PATH", path.as_str()),
        ("GOTOOLCHAIN", "local"),
        ("GOPROXY", "off"),
    ];
    let output = user.run(&variables, script);
    assert!(output.status.success(), "{output:?}");
    let dir = user.dir.path().join("m");
    let report = tests::read_json(&dir.join("report.json"));
    let goroot = report["builds"][0]["toolchain"]["goroot"].as_str().unwrap();
    assert_eq!(Path::new(goroot), toolchain.goroot);
    assert_eq!(
        report["builds"][0]["outputs"][0]["artifact"]["go_version"],
        format!("go{}", toolchain.version)
    );
    for file in ["out", "report.json", "r.gotrace", "m.prom"] {
        assert_eq!(
            fs::metadata(dir.join(file)).unwrap().uid(),
            user.uid,
            "{file}"
        );
    }
    let cache = user.home().join(".cache/go-build");
    let foreign = sh(&format!("find {} ! -user {}", cache.display(), user.name));
    assert_eq!(foreign, "", "in the caller's cache");
    assert_eq!(
        sh(&format!(
            "find {} -type f | head -1 | wc -l",
            cache.display()
        )),
        "1\n"
    );
}

#[test]
fn gotrace_does_not_overwrite_files_that_the_caller_cannot_write() {
    let user = User::new("file");
    let dir = tempfile::tempdir().unwrap();
    let precious = dir.path().join("precious");
    fs::write(&precious, "root's").unwrap();
    sh(&format!(
        "chmod 755 {}; chmod 600 {}",
        dir.path().display(),
        precious.display()
    ));
    let output = user.run(
        &[],
        &format!("sudo $gotrace run -o {} -- true", precious.display()),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(&precious).unwrap(), b"root's");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot write"),
        "{output:?}"
    );
}
