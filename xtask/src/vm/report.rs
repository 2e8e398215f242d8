//! Results of a guest, in sections: each has the output of a command and its exit code. `init.sh` writes them.

use std::collections::BTreeMap;

/// Results of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// The exit code; `None` if the guest ended earlier.
    pub(super) code: Option<i32>,
}

/// All sections of a guest by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Report(BTreeMap<String, Section>);

impl Report {
    pub(super) fn parse(text: &str) -> Self {
        let mut sections: BTreeMap<String, Section> = BTreeMap::new();
        let mut at: Option<(String, bool)> = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["@@", name, "stdout"] => at = Some(((*name).to_owned(), true)),
                ["@@", name, "stderr"] => at = Some(((*name).to_owned(), false)),
                ["@@", name, "exit", code] => {
                    sections.entry((*name).to_owned()).or_default().code = code.parse().ok();
                    at = None;
                }
                _ => {
                    let Some((name, is_stdout)) = &at else {
                        continue;
                    };
                    let section = sections.entry(name.clone()).or_default();
                    let text = if *is_stdout {
                        &mut section.stdout
                    } else {
                        &mut section.stderr
                    };
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        Self(sections)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A section; empty and without an exit code if the guest did not reach it.
    pub(super) fn section(&self, name: &str) -> Section {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_contains_stdout_stderr_and_the_exit_code() {
        let text = "noise\n@@ a stdout\none\ntwo\n\n@@ a stderr\nno\n@@ a exit 3\n@@ b stdout\nx\n";
        let report = Report::parse(text);
        assert_eq!(
            report.section("a"),
            Section {
                stdout: "one\ntwo\n\n".to_owned(),
                stderr: "no\n".to_owned(),
                code: Some(3)
            }
        );
        assert_eq!(report.section("b").code, None);
        assert_eq!(report.section("c"), Section::default());
    }
}
