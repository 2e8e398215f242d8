//! A `go` command line as it is meant: command, flags in force (including those of `GOFLAGS`), packages, arguments of programs.
//!
//! The parser follows `go` itself, command by command. It never fails: of a line that `go` rejects, it returns the readable parts and the
//! unknown flags. It does not check whether a package pattern matches anything.

use crate::byte_string::ByteString;
use crate::model::{Flag, FlagOrigin};

use super::flags::{Arity, arity};

/// One `go` command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoCommand {
    /// `build`, `mod tidy`, `tool nm`; empty for a bare `go`.
    pub name: String,
    /// `-C`: the directory that the command changes to first. After a toolchain switch, the line no longer contains it.
    pub chdir: Option<ByteString>,
    /// The flags in force. If a flag is repeated, on the line or in `GOFLAGS`, the last value counts. Per-package flags
    /// (`-gcflags=pattern=...`) have one entry per pattern.
    pub flags: Vec<Flag>,
    /// Package patterns, or files.
    pub packages: Vec<ByteString>,
    /// Arguments for the program of `go run` or `go tool`, or for the test binary. For other commands, the arguments that are not packages.
    pub program_args: Vec<ByteString>,
    /// Flags on the line that the command does not have. `go test` passes them to the test binary; other commands reject them.
    pub unknown: Vec<ByteString>,
}

/// Flags whose value is `[pattern=]flags`, collected by pattern.
const PER_PACKAGE: &[&str] = &["asmflags", "gccgoflags", "gcflags", "ldflags"];

/// The meaning of one argument.
enum Argument {
    Terminator,
    Plain,
    Flag {
        name: String,
        value: Option<ByteString>,
    },
}

impl GoCommand {
    /// Parses the line of a `go` process, with the words of the `GOFLAGS` in force (see [`super::goflags::split`]).
    pub fn parse(argv: &[ByteString], goflags: &[ByteString]) -> Self {
        let mut command = Self::default();
        let rest = command.take_name(argv.get(1..).unwrap_or_default());
        command.take_goflags(goflags);
        match command.name.as_str() {
            "test" => command.take_test(&rest),
            name if name == "tool" || name.starts_with("tool ") => command.take_tool(&rest),
            _ => command.take_plain(&rest),
        }
        command
    }

    /// Last value of a flag in force.
    pub fn value(&self, name: &str) -> Option<&ByteString> {
        self.flags
            .iter()
            .rev()
            .find(|it| it.name == name)?
            .value
            .as_ref()
    }

    /// True if a boolean flag is in force and not switched off.
    pub fn is_on(&self, name: &str) -> bool {
        self.flags
            .iter()
            .rev()
            .find(|it| it.name == name)
            .is_some_and(|it| {
                it.value.as_ref().is_none_or(|value| {
                    !matches!(
                        value.as_bytes(),
                        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False"
                    )
                })
            })
    }

    /// True for the child that `go` starts of itself for its counters. It builds nothing.
    pub fn is_telemetry(&self) -> bool {
        self.name == "** telemetry **"
    }

    /// True if the purpose of the command is to make, check or run something. The others (`version`, `env`, `list`, `mod`) only answer
    /// queries or maintain files; `list -export` may compile.
    pub fn is_build(&self) -> bool {
        let first = self.name.split(' ').next().unwrap_or_default();
        matches!(
            first,
            "build" | "fix" | "generate" | "install" | "run" | "test" | "tool" | "vet"
        )
    }

    /// Removes the command and `-C` from the front. `-C` may appear directly before or after the name of the command: `go -C x build`, `go
    /// build -C x`, `go mod -C x tidy`.
    fn take_name(&mut self, args: &[ByteString]) -> Vec<ByteString> {
        let mut args = args.to_vec();
        let mut used = name_len(&args);
        let chdir = match args.get(used).map(word) {
            Some(Argument::Flag {
                name,
                value: Some(dir),
            }) if name == "C" => Some((dir, 1)),
            Some(Argument::Flag { name, value: None }) if name == "C" => {
                args.get(used + 1).map(|it| (it.clone(), 2))
            }
            Some(_) | None => None,
        };
        if let Some((dir, n)) = chdir {
            args.drain(used..used + n);
            self.chdir = Some(dir);
            used = name_len(&args);
        }
        let rest = args.split_off(used);
        self.name = args
            .iter()
            .map(|it| it.to_str())
            .collect::<Vec<_>>()
            .join(" ");
        rest
    }

    fn take_goflags(&mut self, goflags: &[ByteString]) {
        for goflag in goflags {
            if let Argument::Flag { name, value } = word(goflag)
                && arity(&self.name, self.short(&name)).is_some()
            {
                self.set(&name, value, FlagOrigin::Goflags);
            }
        }
    }

    /// Most commands: flags, then packages.
    fn take_plain(&mut self, args: &[ByteString]) {
        let rest = self.take_flags(args);
        match self.name.as_str() {
            "run" => {
                let n_files = rest
                    .iter()
                    .take_while(|it| it.as_bytes().ends_with(b".go"))
                    .count();
                let (packages, program_args) = rest.split_at(n_files.max(1).min(rest.len()));
                self.packages = packages.to_vec();
                self.program_args = program_args.to_vec();
            }
            "build" | "install" | "vet" | "fix" | "generate" | "list" | "clean" | "get" | "fmt" => {
                self.packages = rest.to_vec();
            }
            _ => self.program_args = rest.to_vec(),
        }
    }

    /// Takes flags up to the first argument that is not a flag; returns the rest.
    fn take_flags<'a>(&mut self, mut args: &'a [ByteString]) -> &'a [ByteString] {
        while let [arg, rest @ ..] = args {
            args = match word(arg) {
                Argument::Terminator => return rest,
                Argument::Plain => return args,
                Argument::Flag { name, value } => {
                    if let Some(rest) = self.take_flag(&name, value.clone(), rest) {
                        rest
                    } else {
                        if matches!(self.name.as_str(), "vet" | "fix") {
                            // An analyzer's switch; only the tool has the list of them.
                            self.set(&name, value, FlagOrigin::Argv);
                        } else {
                            self.unknown.push(arg.clone());
                        }
                        rest
                    }
                }
            };
        }
        args
    }

    /// `go tool [flags] NAME arguments`: the arguments after the name belong to the tool.
    fn take_tool(&mut self, args: &[ByteString]) {
        let rest = self.take_flags(args);
        if let [tool, rest @ ..] = rest {
            self.name = format!("tool {tool}");
            self.program_args = rest.to_vec();
        }
    }

    /// `go test`: one run of packages at any place between flags. Unknown flags belong to the test binary, and so does everything after
    /// them that could be their value.
    fn take_test(&mut self, mut args: &[ByteString]) {
        let mut packages_done = false;
        let mut in_packages = false;
        let mut after_unknown = false;
        while let [arg, rest @ ..] = args {
            let was_after_unknown = std::mem::take(&mut after_unknown);
            args = match word(arg) {
                Argument::Terminator => {
                    self.program_args.extend_from_slice(args);
                    return;
                }
                Argument::Plain if !in_packages && packages_done => {
                    if !was_after_unknown {
                        self.program_args.extend_from_slice(args);
                        return;
                    }
                    self.program_args.push(arg.clone());
                    rest
                }
                Argument::Plain => {
                    (in_packages, packages_done) = (true, true);
                    self.packages.push(arg.clone());
                    rest
                }
                Argument::Flag { name, .. } if name == "args" => {
                    self.program_args.extend_from_slice(rest);
                    return;
                }
                Argument::Flag { name, value } => {
                    in_packages = false;
                    let has_value = value.is_some();
                    if let Some(rest) = self.take_flag(&name, value, rest) {
                        rest
                    } else {
                        packages_done = true;
                        after_unknown = !has_value;
                        self.unknown.push(arg.clone());
                        self.program_args.push(arg.clone());
                        rest
                    }
                }
            };
        }
    }

    /// Sets a flag that the command has, and returns the rest. `None` if the command has no such flag.
    fn take_flag<'a>(
        &mut self,
        name: &str,
        value: Option<ByteString>,
        rest: &'a [ByteString],
    ) -> Option<&'a [ByteString]> {
        match (arity(&self.name, self.short(name))?, value, rest) {
            (Arity::Value, None, [next, rest @ ..]) => {
                self.set(name, Some(next.clone()), FlagOrigin::Argv);
                Some(rest)
            }
            (Arity::Value | Arity::Bool, value, _) => {
                self.set(name, value, FlagOrigin::Argv);
                Some(rest)
            }
        }
    }

    /// `go test` also accepts its flags by the test binary's names: `-test.run`.
    fn short<'a>(&self, name: &'a str) -> &'a str {
        match name.strip_prefix("test.") {
            Some(short) if self.name == "test" => short,
            Some(_) | None => name,
        }
    }

    fn set(&mut self, name: &str, value: Option<ByteString>, origin: FlagOrigin) {
        let name = self.short(name);
        let replaced = |it: &Flag| {
            it.name == name
                && (!PER_PACKAGE.contains(&name)
                    || pattern(it.value.as_ref()) == pattern(value.as_ref()))
        };
        // `go mod edit` applies each of its flags, in order.
        if !self.name.ends_with(" edit") {
            self.flags.retain(|it| !replaced(it));
        }
        self.flags.push(Flag {
            name: name.to_owned(),
            value,
            origin,
        });
    }
}

/// The number of arguments that name the command. Only `mod` and `work` have sub-commands; in `go tool`, the tool follows flags.
fn name_len(args: &[ByteString]) -> usize {
    let is_name = |at: usize| {
        args.get(at)
            .is_some_and(|it| !it.as_bytes().starts_with(b"-"))
    };
    match args.first() {
        Some(first) if is_name(0) => {
            if (first == "mod" || first == "work") && is_name(1) {
                2
            } else {
                1
            }
        }
        Some(_) | None => 0,
    }
}

/// The syntax of Go's `flag` package: `-x`, `--x`, `-x=v`, `--x=v`. `-`, `-=v` and `---x` are not flags.
fn word(arg: &ByteString) -> Argument {
    let bytes = arg.as_bytes();
    if bytes == b"--" {
        return Argument::Terminator;
    }
    let Some(body) = bytes
        .strip_prefix(b"--")
        .or_else(|| bytes.strip_prefix(b"-"))
    else {
        return Argument::Plain;
    };
    if body.is_empty() || body.starts_with(b"-") || body.starts_with(b"=") {
        return Argument::Plain;
    }
    let mut parts = body.splitn(2, |it| *it == b'=');
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    Argument::Flag {
        name,
        value: parts.next().map(ByteString::from),
    }
}

/// The pattern of a per-package value; empty for the packages named on the line.
fn pattern(value: Option<&ByteString>) -> &[u8] {
    let value = value.map(ByteString::as_bytes).unwrap_or_default();
    if value.starts_with(b"-") {
        return b"";
    }
    value
        .iter()
        .position(|it| *it == b'=')
        .and_then(|at| value.get(..at))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::golang::goflags::{Quoting, split};

    /// Arguments are separated by ` | `.
    fn check(goflags: &str, line: &str, expected: &Expect) {
        let argv: Vec<ByteString> = line.split(" | ").map(ByteString::from).collect();
        let goflags = split(goflags.as_bytes(), Quoting::Shell).expect("closed quotes");
        expected.assert_eq(&show(&GoCommand::parse(&argv, &goflags)));
    }

    fn show(command: &GoCommand) -> String {
        let mut out = command.name.clone();
        if let Some(dir) = &command.chdir {
            let _ = write!(out, " in {dir}");
        }
        for flag in &command.flags {
            let from = match flag.origin {
                FlagOrigin::Argv => "",
                FlagOrigin::Goflags => "GOFLAGS:",
            };
            let _ = write!(out, " {from}-{}", flag.name);
            if let Some(value) = &flag.value {
                let _ = write!(out, "={value}");
            }
        }
        for (label, list) in [
            ("packages", &command.packages),
            ("args", &command.program_args),
            ("unknown", &command.unknown),
        ] {
            if !list.is_empty() {
                let _ = write!(out, " {label}{list:?}");
            }
        }
        out
    }

    #[test]
    fn flags_come_before_packages() {
        check("", "go | build", &expect!["build"]);
        check("", "go", &expect![""]);
        check(
            "",
            "go | build | -o | bin/a | -race | ./cmd/a",
            &expect![[r#"build -o=bin/a -race packages["./cmd/a"]"#]],
        );
        check(
            "",
            "go | build | --o=x | -v=false | -- | -x",
            &expect![[r#"build -o=x -v=false packages["-x"]"#]],
        );
        check(
            "",
            "go | build | a.go | -o | x",
            &expect![[r#"build packages["a.go", "-o", "x"]"#]],
        );
        check(
            "",
            "go | list | -json=Dir | -m | all",
            &expect![[r#"list -json=Dir -m packages["all"]"#]],
        );
        check(
            "",
            "go | vet | -printf=false | -c | 3 | ./...",
            &expect![[r#"vet -printf=false -c=3 packages["./..."]"#]],
        );
        check("", "go | build | -o", &expect!["build -o"]);
        check(
            "",
            "go | build | -frob | x",
            &expect![[r#"build packages["x"] unknown["-frob"]"#]],
        );
    }

    #[test]
    fn the_directory_comes_where_the_name_ends() {
        check(
            "",
            "go | build | -C | d | -o | x",
            &expect!["build in d -o=x"],
        );
        check(
            "",
            "go | -C | d | build | .",
            &expect![[r#"build in d packages["."]"#]],
        );
        check(
            "",
            "go | mod | -C=d | tidy | -v",
            &expect!["mod tidy in d -v"],
        );
        check("", "go | build | -C", &expect!["build -C"]);
    }

    /// Each seen in `go version -m` of 1.27: the line replaces the value of `GOFLAGS` and does not add to it.
    #[test]
    fn the_line_replaces_goflags() {
        check(
            "-ldflags=-s",
            "go | build | -ldflags=-w",
            &expect!["build -ldflags=-w"],
        );
        check(
            "-tags=a -mod=mod",
            "go | build | -tags | b,c",
            &expect!["build GOFLAGS:-mod=mod -tags=b,c"],
        );
        check(
            "-trimpath",
            "go | build | -trimpath=false",
            &expect!["build -trimpath=false"],
        );
        check(
            "'-ldflags=-s -w' -v",
            "go | build",
            &expect!["build GOFLAGS:-ldflags=-s -w GOFLAGS:-v"],
        );
        check(
            "-gcflags=all=-N",
            "go | build | -gcflags=-l | -gcflags=./x=-m | -gcflags=-m",
            &expect!["build GOFLAGS:-gcflags=all=-N -gcflags=./x=-m -gcflags=-m"],
        );
    }

    #[test]
    fn goflags_of_other_commands_are_ignored() {
        check(
            "-ldflags=-s -mod=mod",
            "go | env | GOROOT",
            &expect![[r#"env args["GOROOT"]"#]],
        );
        check(
            "-o=x -mod=mod",
            "go | install | ./...",
            &expect![[r#"install GOFLAGS:-mod=mod packages["./..."]"#]],
        );
        check("-cover -json", "go | generate", &expect!["generate"]);
        check(
            "-v --x= nonsense",
            "go | build",
            &expect!["build GOFLAGS:-v GOFLAGS:-x="],
        );
    }

    #[test]
    fn programs_get_their_arguments() {
        check(
            "",
            "go | run | -race | . | -v | x",
            &expect![[r#"run -race packages["."] args["-v", "x"]"#]],
        );
        check(
            "",
            "go | run | a.go | b.go | c",
            &expect![[r#"run packages["a.go", "b.go"] args["c"]"#]],
        );
        check(
            "",
            "go | run | example.com/x@v1 | y.go",
            &expect![[r#"run packages["example.com/x@v1"] args["y.go"]"#]],
        );
        check("", "go | run", &expect!["run"]);
        check(
            "",
            "go | tool | nm | -size | a",
            &expect![[r#"tool nm args["-size", "a"]"#]],
        );
        check("", "go | tool | -n | compile", &expect!["tool compile -n"]);
        check("", "go | tool", &expect!["tool"]);
    }

    #[test]
    fn test_flags_may_follow_packages() {
        check(
            "",
            "go | test | ./a | ./b | -run | X | -v",
            &expect![[r#"test -run=X -v packages["./a", "./b"]"#]],
        );
        check(
            "-test.v",
            "go | test | -test.run=X | -count | 1 | .",
            &expect![[r#"test GOFLAGS:-v -run=X -count=1 packages["."]"#]],
        );
        check(
            "",
            "go | test | . | -args | -v | -x",
            &expect![[r#"test packages["."] args["-v", "-x"]"#]],
        );
        check(
            "",
            "go | test | . | -mine | value | -v | more | -race",
            &expect![[
                r#"test -v packages["."] args["-mine", "value", "more", "-race"] unknown["-mine"]"#
            ]],
        );
        check(
            "",
            "go | test | -mine=1 | ./x | -v",
            &expect![[r#"test args["-mine=1", "./x", "-v"] unknown["-mine=1"]"#]],
        );
        check(
            "",
            "go | test | . | -- | -v",
            &expect![[r#"test packages["."] args["--", "-v"]"#]],
        );
        check(
            "",
            "go | test | -c | -o | d/ | ./...",
            &expect![[r#"test -c -o=d/ packages["./..."]"#]],
        );
    }

    #[test]
    fn other_lines_are_distinguished() {
        check("", "go | ** telemetry **", &expect!["** telemetry **"]);
        assert!(GoCommand::parse(&["go".into(), "** telemetry **".into()], &[]).is_telemetry());
        check(
            "",
            "go | mod | edit | -require=a@v1 | -require=b@v1",
            &expect!["mod edit -require=a@v1 -require=b@v1"],
        );
        check("", "go | help | build", &expect![[r#"help args["build"]"#]]);
        check(
            "",
            "go | version | -m | bin/a",
            &expect![[r#"version -m args["bin/a"]"#]],
        );
    }

    #[test]
    fn values_are_found_by_name() {
        let argv: Vec<ByteString> = ["go", "build", "-race", "-v=false", "-o", "x"]
            .map(ByteString::from)
            .to_vec();
        let command = GoCommand::parse(&argv, &[]);
        assert!(command.is_on("race") && !command.is_on("v") && !command.is_on("a"));
        assert_eq!(command.value("o"), Some(&"x".into()));
        assert!(command.is_build());
    }
}
