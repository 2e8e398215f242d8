//! One fact out of a `go.mod`: whose it is.

/// Path of the module, as the `module` line has it.
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
    // `module ( path )` is allowed as for every other directive, though hardly ever seen.
    let word = if rest == "(" {
        lines.find(|line| !line.is_empty())?
    } else {
        rest
    };
    let path = word.trim_matches(['"', '`']);
    (!path.is_empty() && !path.contains(char::is_whitespace)).then(|| path.to_owned())
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
}
