//! The sources of Go's settings in their order: environment, the user's file (`go env -w`), `$GOROOT/go.env`, built-in value.
//!
//! The rim reads the files; this module has only their names and their text.

use crate::byte_string::ByteString;
use crate::environment;
use crate::event::EnvFile;
use crate::golang::command::GoCommand;
use crate::golang::goflags::{self, Quoting};
use crate::model::{Origin, Setting};
use crate::redact;

/// Every source of a setting.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Environment of the `go` process.
    pub env: &'a [(ByteString, ByteString)],
    /// The user's file.
    pub user: Option<&'a EnvFile>,
    /// `$GOROOT/go.env`; since Go 1.21.
    pub root: Option<&'a EnvFile>,
}

impl Sources<'_> {
    /// The value in force and its source. Empty and `Default` if no source sets it.
    ///
    /// An empty variable is ignored: `GOFLAGS= go build` still uses the file's value. An empty line in the user's file counts, and hides
    /// the value in `go.env`.
    pub fn get(&self, name: &str) -> Setting {
        if let Some(value) = environment::get(self.env, name).filter(|it| !it.is_empty()) {
            return Setting {
                value: value.clone(),
                origin: Origin::Environment,
            };
        }
        if let Some((file, value)) = self.user.and_then(|it| Some((it, last(it, name)?))) {
            return Setting {
                value: value.clone(),
                origin: Origin::UserFile(file.path.clone()),
            };
        }
        if let Some((file, value)) = self.root.and_then(|it| Some((it, last(it, name)?))) {
            return Setting {
                value: value.clone(),
                origin: Origin::RootFile(file.path.clone()),
            };
        }
        Setting::default()
    }

    /// The parsed line of a `go` process, with the flags that GOFLAGS adds. Unterminated quotes in GOFLAGS make the `go` command fail; then
    /// none of its flags is in force.
    pub fn command(&self, argv: &[ByteString]) -> GoCommand {
        let goflags = self.get("GOFLAGS").value;
        let words = goflags::split(goflags.as_bytes(), Quoting::of(None)).unwrap_or_default();
        GoCommand::parse(argv, &words)
    }

    /// Directory of the build cache. `None`: it is switched off or has no directory, and then `go` refuses to build.
    pub fn gocache(&self) -> Option<ByteString> {
        let set = self.get("GOCACHE").value;
        if !set.is_empty() {
            return set.as_bytes().starts_with(b"/").then_some(set);
        }
        user_dir(self.env, "XDG_CACHE_HOME", ".cache").map(|it| join(&it, "go-build"))
    }
}

/// Of a repeated key the last value counts.
fn last<'a>(file: &'a EnvFile, name: &str) -> Option<&'a ByteString> {
    file.variables
        .iter()
        .rev()
        .find(|(it, _)| it == name)
        .map(|(_, value)| value)
}

/// Path of the user's file, as a process with this environment computes it. `None` if the user has no file
/// (`GOENV=off`, or no home). A relative `$GOENV` is relative to the working directory.
pub fn user_file(env: &[(ByteString, ByteString)]) -> Option<ByteString> {
    match environment::get(env, "GOENV").filter(|it| !it.is_empty()) {
        Some(path) => (path != "off").then(|| path.clone()),
        None => user_dir(env, "XDG_CONFIG_HOME", ".config").map(|it| join(&it, "go/env")),
    }
}

/// `os.UserConfigDir` and `os.UserCacheDir`: a relative XDG directory is an error, and the home is not used instead.
fn user_dir(env: &[(ByteString, ByteString)], xdg: &str, under_home: &str) -> Option<ByteString> {
    let set = |name| environment::get(env, name).filter(|it| !it.is_empty());
    match set(xdg) {
        Some(dir) => dir.as_bytes().starts_with(b"/").then(|| dir.clone()),
        None => set("HOME").map(|it| join(it, under_home)),
    }
}

fn join(dir: &ByteString, name: &str) -> ByteString {
    let mut path = dir.as_bytes().to_vec();
    while path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    path.into()
}

/// The `KEY=value` lines of a settings file, allow-listed and redacted, in the file's order. There is no quoting; a line that does not
/// begin with a capital letter is a comment.
pub fn parse_env_file(text: &[u8]) -> Vec<(ByteString, ByteString)> {
    text.split(|it| *it == b'\n')
        .filter(|line| line.first().is_some_and(u8::is_ascii_uppercase))
        .filter_map(|line| {
            let at = line.iter().position(|it| *it == b'=')?;
            let (name, value) = (line.get(..at)?, line.get(at + 1..)?);
            environment::is_allowed(name).then(|| (name.into(), redact::variable(name, value)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(text: &str) -> Vec<(ByteString, ByteString)> {
        text.split_whitespace()
            .filter_map(|it| it.split_once('='))
            .map(|(k, v)| (k.into(), v.into()))
            .collect()
    }

    fn file(path: &str, text: &str) -> EnvFile {
        EnvFile {
            path: path.into(),
            variables: parse_env_file(text.as_bytes()),
        }
    }

    /// Each row was seen with `go env GOFLAGS` of 1.24.
    #[test]
    fn the_first_source_with_a_value_wins() {
        let user = file("/h/.config/go/env", "GOFLAGS=-user\nGOFLAGS=-last\n");
        let empty = file("/h/.config/go/env", "GOFLAGS=\n");
        let root = file("/go/go.env", "# comment\nGOFLAGS=-root\nGOTOOLCHAIN=auto\n");
        let check = |vars: &str, user: Option<&EnvFile>, value: &str, origin: Origin| {
            let env = env(vars);
            let setting = Sources {
                env: &env,
                user,
                root: Some(&root),
            }
            .get("GOFLAGS");
            assert_eq!(
                setting,
                Setting {
                    value: value.into(),
                    origin
                },
                "{vars}"
            );
        };
        check("GOFLAGS=-env", Some(&user), "-env", Origin::Environment);
        check(
            "GOFLAGS=",
            Some(&user),
            "-last",
            Origin::UserFile("/h/.config/go/env".into()),
        );
        check(
            "",
            Some(&empty),
            "",
            Origin::UserFile("/h/.config/go/env".into()),
        );
        check("", None, "-root", Origin::RootFile("/go/go.env".into()));
        let none = Sources {
            env: &[],
            user: None,
            root: None,
        }
        .get("GOFLAGS");
        assert_eq!(none, Setting::default());
    }

    /// Seen with `go env GOENV` and `go env GOCACHE` of 1.27; an empty answer is an error or `off` there.
    #[test]
    fn directories_follow_the_environment() {
        for (vars, goenv, gocache) in [
            ("HOME=/h", "/h/.config/go/env", "/h/.cache/go-build"),
            ("HOME=/h/", "/h/.config/go/env", "/h/.cache/go-build"),
            (
                "HOME=/h XDG_CONFIG_HOME=/x XDG_CACHE_HOME=/y",
                "/x/go/env",
                "/y/go-build",
            ),
            ("HOME=/h XDG_CONFIG_HOME=x XDG_CACHE_HOME=y", "", ""),
            ("HOME=/h GOENV=off GOCACHE=off", "", ""),
            ("HOME=/h GOENV=rel/env GOCACHE=rel", "rel/env", ""),
            ("GOENV=/e GOCACHE=/c", "/e", "/c"),
            ("", "", ""),
        ] {
            let env = env(vars);
            assert_eq!(user_file(&env).unwrap_or_default(), goenv, "{vars}");
            let sources = Sources {
                env: &env,
                user: None,
                root: None,
            };
            assert_eq!(sources.gocache().unwrap_or_default(), gocache, "{vars}");
        }
    }

    #[test]
    fn a_settings_file_is_read_as_go_reads_it() {
        let text = b"# GOFLAGS=-no\nGOFLAGS=-a -b\n GOARCH=386\ngoos=x\nGOOS\n=\nMY_TOKEN=hunter2\nGOPROXY=https://u:p@h/\nCC=gcc";
        let lines: Vec<_> = parse_env_file(text)
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(
            lines,
            ["GOFLAGS=-a -b", "GOPROXY=https://<redacted>@h/", "CC=gcc"]
        );
    }
}
