//! Results of a guest, in sections: each has the output of a command and its exit code. `init.sh` writes them.

use std::collections::BTreeMap;

/// Results of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) said: String,
    pub(super) complained: String,
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
                ["@@", name, "said"] => at = Some(((*name).to_owned(), true)),
                ["@@", name, "complained"] => at = Some(((*name).to_owned(), false)),
                ["@@", name, "ended", code] => {
                    sections.entry((*name).to_owned()).or_default().code = code.parse().ok();
                    at = None;
                }
                _ => {
                    let Some((name, is_said)) = &at else { continue };
                    let section = sections.entry(name.clone()).or_default();
                    let text = if *is_said {
                        &mut section.said
                    } else {
                        &mut section.complained
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
        let text =
            "noise\n@@ a said\none\ntwo\n\n@@ a complained\nno\n@@ a ended 3\n@@ b said\nx\n";
        let report = Report::parse(text);
        assert_eq!(
            report.section("a"),
            Section {
                said: "one\ntwo\n\n".to_owned(),
                complained: "no\n".to_owned(),
                code: Some(3)
            }
        );
        assert_eq!(report.section("b").code, None);
        assert_eq!(report.section("c"), Section::default());
    }
}
