//! The default name of a build's output, without `-o`.
//!
//! Only the name: the file appears in the working directory (`go build`, `go test -c`) or in the directory that `go install` uses.

use crate::byte_string::ByteString;

use super::command::GoCommand;

/// Import path that Go gives to files named on the command line.
const FILES: &[u8] = b"command-line-arguments";

/// Default name for the main package `package` of a `go build` or `go install`. `None` if the name cannot be determined.
pub fn of_build(
    command: &GoCommand,
    package: &[u8],
    goos: &str,
    buildmode: &str,
) -> Option<ByteString> {
    let mut name = if package == FILES {
        let file = base(command.packages.first()?.as_bytes());
        file.strip_suffix(b".go")?.to_vec()
    } else {
        element(package)?.to_vec()
    };
    name.extend_from_slice(suffix(goos, buildmode));
    Some(name.into())
}

/// Default name for the test binary of a package. `None` for files on the command line, because then it has the name of their package.
pub fn of_test(package: &[u8], goos: &str) -> Option<ByteString> {
    if package == FILES {
        return None;
    }
    let mut name = element(package)?.to_vec();
    name.extend_from_slice(b".test");
    name.extend_from_slice(suffix(goos, ""));
    Some(name.into())
}

/// The build mode takes precedence over the system: a c-archive for Windows is `x.a`; its DLL gets no `.exe`.
fn suffix(goos: &str, buildmode: &str) -> &'static [u8] {
    match (buildmode, goos) {
        ("c-archive", _) => b".a",
        ("plugin", _) => b".so",
        ("c-shared", "windows") => b"",
        (_, "windows") => b".exe",
        _ => b"",
    }
}

/// Last element of an import path, or the one before if the last is a major version: `example.com/tool/v2` makes `tool`.
fn element(package: &[u8]) -> Option<&[u8]> {
    let last = base(package);
    let name = match package
        .strip_suffix(last)
        .and_then(|it| it.strip_suffix(b"/"))
    {
        Some(dir) if is_major_version(last) => base(dir),
        Some(_) | None => last,
    };
    (!name.is_empty()).then_some(name)
}

fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|it| *it == b'/').next().unwrap_or_default()
}

/// True for `v2` and higher; `v0`, `v1` and `v01` are ordinary names.
fn is_major_version(element: &[u8]) -> bool {
    element.strip_prefix(b"v").is_some_and(|digits| {
        !digits.is_empty()
            && !digits.starts_with(b"0")
            && digits != b"1"
            && digits.iter().all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that 1.21 and 1.27 gave.
    #[test]
    fn names_match_those_of_go() {
        let files = GoCommand::parse(
            &["go", "build", "dir/b.go", "a.go"].map(ByteString::from),
            &[],
        );
        for (package, goos, mode, expected) in [
            ("example.com/hello", "linux", "exe", "hello"),
            ("hello", "linux", "", "hello"),
            ("example.com/tool/v2", "linux", "exe", "tool"),
            ("example.com/tool/v1", "linux", "exe", "v1"),
            ("example.com/tool/v02", "linux", "exe", "v02"),
            ("v2", "linux", "exe", "v2"),
            ("example.com/hello", "windows", "exe", "hello.exe"),
            ("example.com/hello", "windows", "c-shared", "hello"),
            ("example.com/hello", "js", "exe", "hello"),
            ("example.com/hello", "linux", "c-shared", "hello"),
            ("example.com/hello", "linux", "c-archive", "hello.a"),
            ("example.com/hello", "linux", "plugin", "hello.so"),
            ("example.com/hello", "linux", "pie", "hello"),
            ("command-line-arguments", "linux", "exe", "b"),
        ] {
            assert_eq!(
                of_build(&files, package.as_bytes(), goos, mode),
                Some(expected.into()),
                "{package} {goos} {mode}"
            );
        }
        assert_eq!(
            of_test(b"example.com/m/lib", "linux"),
            Some("lib.test".into())
        );
        assert_eq!(
            of_test(b"example.com/m/lib/v3", "windows"),
            Some("lib.test.exe".into())
        );
        assert_eq!(of_test(b"command-line-arguments", "linux"), None);
        assert_eq!(
            of_build(
                &GoCommand::default(),
                b"command-line-arguments",
                "linux",
                "exe"
            ),
            None
        );
        assert_eq!(of_build(&GoCommand::default(), b"", "linux", "exe"), None);
    }
}
