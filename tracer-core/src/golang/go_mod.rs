//! Finds the module of a file or directory: from the text of `go.mod` and `go.work`, and from paths in the module cache.

use crate::byte_string::ByteString;

/// Most modules of a workspace that are read.
const USES_MAX: usize = 256;

/// Path of the module, from the `module` line.
pub fn module_path(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().trim());
    let rest = lines.by_ref().find_map(|line| {
        let rest = line.strip_prefix("module")?;
        rest.starts_with([' ', '\t', '"', '`', '('])
            .then(|| rest.trim())
    })?;
    // `module ( path )` is allowed as for every other directive, but very rare.
    let word = if rest == "(" {
        lines.find(|line| !line.is_empty())?
    } else {
        rest
    };
    let path = word.trim_matches(['"', '`']);
    (!path.is_empty() && !path.contains(char::is_whitespace)).then(|| path.to_owned())
}

/// Directories of the modules that a `go.work` names, as written there.
pub fn work_dirs(text: &[u8]) -> Vec<ByteString> {
    let text = String::from_utf8_lossy(text);
    let mut dirs = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let dir = if is_block {
            is_block = line != ")";
            line
        } else {
            let Some(rest) = line.strip_prefix("use") else {
                continue;
            };
            is_block = rest.trim() == "(";
            if !rest.starts_with([' ', '\t', '"', '`']) {
                continue;
            }
            rest.trim()
        };
        let dir = dir.trim_matches(['"', '`']);
        if !matches!(dir, "" | "(" | ")") && dirs.len() < USES_MAX {
            dirs.push(ByteString::from(dir));
        }
    }
    dirs
}

/// Path of the module of a file in the module cache: `$GOMODCACHE/example.com/!x@v1.0.0/main.go` belongs to `example.com/X`.
pub fn cached_module(file: &ByteString, cache: &ByteString) -> Option<String> {
    let inside = file.as_bytes().strip_prefix(cache.as_bytes())?;
    let inside = std::str::from_utf8(inside.strip_prefix(b"/")?).ok()?;
    let (escaped, rest) = inside.split_once('@')?;
    let (version, _) = rest.split_once('/')?;
    // `cache/download` contains archives, whose names contain `@`, too.
    let is_module = !escaped.is_empty() && !escaped.ends_with('/') && !version.is_empty();
    is_module.then(|| unescape(escaped)).flatten()
}

/// `!x` stands for `X` (`golang.org/x/mod/module.UnescapePath`).
fn unescape(path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '!' => letters
                .next()
                .filter(char::is_ascii_lowercase)?
                .to_ascii_uppercase(),
            letter => letter,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(
            module_path(text.as_bytes()).as_deref(),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn the_module_line_names_it() {
        check("module example.com/a\n\ngo 1.27\n", Some("example.com/a"));
        check(
            "// first\r\nmodule\texample.com/a // last\r\n",
            Some("example.com/a"),
        );
    }

    #[test]
    fn it_may_be_quoted_or_in_a_block() {
        check("module \"example.com/a\"\n", Some("example.com/a"));
        check("module `example.com/a`\n", Some("example.com/a"));
        check("module (\n\n\texample.com/a\n)\n", Some("example.com/a"));
    }

    #[test]
    fn without_one_there_is_none() {
        for text in ["", "go 1.27\n", "modules x\n", "module\n", "module a b\n"] {
            check(text, None);
        }
    }

    #[test]
    fn a_workspace_names_directories() {
        let check = |text: &str, expected: &[&str]| {
            let dirs = work_dirs(text.as_bytes());
            let dirs: Vec<String> = dirs.iter().map(ToString::to_string).collect();
            assert_eq!(dirs, expected, "{text:?}");
        };
        check(
            "go 1.21\n\nuse ./a // one\nuse \"./b c\"\n",
            &["./a", "./b c"],
        );
        check(
            "use (\n\t.\n\t// none\n\t../x\n)\nreplace a => ./b\nuse ./y\n",
            &[".", "../x", "./y"],
        );
        check("users ./a\nuse\nuse (", &[]);
    }

    #[test]
    fn a_path_in_the_module_cache_names_its_module() {
        let check = |file: &str, expected: Option<&str>| {
            let module = cached_module(&file.into(), &"/go/pkg/mod".into());
            assert_eq!(module.as_deref(), expected, "{file}");
        };
        check(
            "/go/pkg/mod/example.com/a@v1.2.3/main.go",
            Some("example.com/a"),
        );
        check(
            "/go/pkg/mod/example.com/!big/a/v2@v2.0.0/cmd/x/main.go",
            Some("example.com/Big/a/v2"),
        );
        for file in [
            "/go/pkg/module/example.com/a@v1/main.go",
            "/go/pkg/mod/example.com/a/main.go",
            "/go/pkg/mod/example.com/a@v1",
            "/go/pkg/mod/@v1/main.go",
            "/go/pkg/mod/example.com/!!a@v1/main.go",
            "/src/main.go",
        ] {
            check(file, None);
        }
    }
}
