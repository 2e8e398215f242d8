//! The `go` command's description of a program's main package. The `go` command passes this text to the linker, which writes it into the
//! program.

use crate::event::MainPackage;

use super::quoted;

/// Most bytes of an import path that are kept. No real path is as long.
const TEXT_MAX: usize = 1024;
/// Bytes before and after the text, which mark it in memory dumps.
const MARK: usize = 16;

/// Parses the text between the marks: lines of words separated by tabs.
pub fn main_package(text: &[u8]) -> Option<MainPackage> {
    let line = |name: &str| {
        let mut lines = text.split(|byte| *byte == b'\n');
        let words =
            lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"\t"))?;
        let word = words.split(|byte| *byte == b'\t').next()?;
        let word = std::str::from_utf8(word).ok()?;
        (!word.is_empty() && word.len() <= TEXT_MAX).then(|| word.to_owned())
    };
    Some(MainPackage {
        path: line("path")?,
        module: line("mod"),
    })
}

/// The text without the marks around it.
pub fn unmarked(text: &[u8]) -> Option<&[u8]> {
    text.get(MARK..text.len().checked_sub(MARK)?)
}

/// Parses the linker's `importcfg.link`. The text is in a line `modinfo "..."`, quoted as by `strconv.Quote`.
pub fn of_link_config(config: &[u8]) -> Option<MainPackage> {
    let mut lines = config.split(|byte| *byte == b'\n');
    let quoted = lines.find_map(|line| line.strip_prefix(b"modinfo \"")?.strip_suffix(b"\""))?;
    main_package(unmarked(&quoted::unquoted(quoted)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = r"0w\xaf\f\x92t\b\x02A\xe1\xc1\a\xe6\xd6\x18\xe6";
    const END: &str = r"\xf92C1\x86\x18 r\x00\x82B\x10A\x16\xd8\xf2";

    fn check(text: &str, expected: Option<(&str, Option<&str>)>) {
        let config = format!("packagefile fmt=/c/a\nmodinfo \"{BEGIN}{text}{END}\"\n");
        let found = of_link_config(config.as_bytes());
        let found = found
            .as_ref()
            .map(|it| (it.path.as_str(), it.module.as_deref()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_link_config_names_the_main_package() {
        check(
            r"path\texample.com/m/cmd\nmod\texample.com/m\tv1.2.3\th1:x=\nbuild\t-compiler=gc\n",
            Some(("example.com/m/cmd", Some("example.com/m"))),
        );
        check(
            r#"path\tcommand-line-arguments\nbuild\t-tags=\"a\u00e9\"\n"#,
            Some(("command-line-arguments", None)),
        );
        for text in [r"path\t", r"path\tx\q", r"path\tx\xg0", "mod\tx"] {
            check(text, None);
        }
        assert_eq!(of_link_config(b"packagefile fmt=/c/a\n"), None);
        assert_eq!(of_link_config(b"modinfo \"short\"\n"), None);
        assert_eq!(of_link_config(b"modinfo \""), None);
    }
}
