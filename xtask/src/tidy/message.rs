//! Rules about the text that users read: string literals, help, the example configuration, the files of the deployment.
//!
//! The rules of [`super::prose`] apply, and a limit for the length of a line. A literal counts as a message if it contains three
//! words in a row. Statements and documents in other languages are exempt, as are tests.

use super::literal::{Literal, literals};
use super::markdown::sentences;
use super::prose::faults;
use super::sources::test_modules;
use super::{Complaint, File};

/// Maximum number of characters in a line. The name of a placeholder counts, because its value is unknown.
const MAX_LINE: usize = 120;

/// Words in a row that make a literal a message.
const MIN_WORDS: usize = 3;

/// Crates whose literals users read.
const CRATES: &[&str] = &[
    "tracer-user/src/",
    "tracer-core/src/",
    "tracer-binary/src/",
    "xtask/src/",
];

/// The modules whose comments of items are help.
const HELP: &str = "tracer-user/src/cli";

/// Ends of the code before a literal without a limit of its lines, because `clap` wraps help at the width of the terminal.
const WRAPPED: &[&str] = &["about =", "_help =", "_help = format!(", "help ="];

/// Parts of a file that users read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Comments with a space after the sign. A commented setting has none.
    Comments,
    /// Comments, summaries and descriptions of alerts.
    Alerts,
    /// Lines without a directive of a template.
    Lines,
}

/// Beginnings of literals that are allowed to break all rules, because they are statements and documents in other languages.
const FOREIGN: &[&str] = &[
    "AND ", "BEGIN ", "CREATE ", "DELETE ", "EXISTS ", "FROM ", "INSERT ", "LEFT ", "ORDER ",
    "PRAGMA ", "SELECT ", "UPDATE ", "WHERE ", "WITH ", "[{", "{\"",
];

/// Checks that messages have short lines, begin with their subject, and use the field's verbs.
pub(crate) fn messages_are_plain(files: &[File]) -> Vec<Complaint> {
    let test_modules: Vec<String> = files.iter().flat_map(test_modules).collect();
    let is_code = |it: &File| {
        let is_read = CRATES.iter().any(|dir| it.path.starts_with(dir));
        let is_test = test_modules.contains(&it.path) || it.path.contains("/tests/");
        it.is_rust() && is_read && !is_test
    };
    let mut complaints = Vec::new();
    for file in files {
        if is_code(file) {
            complaints.extend(in_code(file));
        } else if let Some(shown) = shown(file) {
            let text = visible(&file.text, shown);
            complaints.extend(long_lines(&file.path, 1, &text));
            complaints.extend(plain_sentences(
                &file.path,
                1,
                &text,
                shown == Shown::Alerts,
            ));
        }
    }
    complaints
}

fn shown(file: &File) -> Option<Shown> {
    let is_deployed = file.path.starts_with("deploy/");
    match file.path.rsplit('/').next()? {
        "rules.yaml" if is_deployed => Some(Shown::Alerts),
        "NOTES.txt" if is_deployed => Some(Shown::Lines),
        _ if is_deployed && file.has_extension("yaml") => Some(Shown::Comments),
        "example.toml" => Some(Shown::Comments),
        _ => None,
    }
}

/// The lines that users read. Other lines become empty.
fn visible(text: &str, shown: Shown) -> String {
    let comment = |line: &'_ str| line.strip_prefix("# ").map(str::to_owned);
    let alert = |line: &str| {
        let text = line
            .strip_prefix("summary: ")
            .or_else(|| line.strip_prefix("description: "));
        text.map(|it| it.trim_matches('\'').to_owned())
    };
    let lines = text.lines().map(str::trim).map(|line| match shown {
        Shown::Comments => comment(line).unwrap_or_default(),
        Shown::Alerts => alert(line).or_else(|| comment(line)).unwrap_or_default(),
        Shown::Lines if line.contains("{{") => String::new(),
        Shown::Lines => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn in_code(file: &File) -> Vec<Complaint> {
    let lines: Vec<&str> = file.lines_without_tests().map(|(_, line)| line).collect();
    let literals = literals(&lines.join("\n"));
    let mut complaints = Vec::new();
    for Literal { line, before, text } in literals.iter().filter(|it| is_message(&it.text)) {
        if !WRAPPED.iter().any(|it| before.ends_with(it)) {
            complaints.extend(long_lines(&file.path, *line, text));
        }
        complaints.extend(plain_sentences(&file.path, *line, text, true));
    }
    if file.path.starts_with(HELP) {
        let comments = lines
            .iter()
            .map(|it| it.trim_start().strip_prefix("/// ").unwrap_or_default());
        complaints.extend(long_lines(
            &file.path,
            1,
            &comments.collect::<Vec<_>>().join("\n"),
        ));
    }
    complaints
}

/// Returns whether a literal is prose: it contains some words in a row, and begins like no other language.
fn is_message(text: &str) -> bool {
    let is_word = |it: &str| {
        let it = it.trim_end_matches([',', '.', ':', ';', '?']);
        !it.is_empty()
            && it
                .chars()
                .all(|it| it.is_alphabetic() || matches!(it, '\'' | '-'))
    };
    let words: Vec<bool> = text.split_whitespace().map(is_word).collect();
    let is_prose = words.windows(MIN_WORDS).any(|it| it.iter().all(|it| *it));
    is_prose && !FOREIGN.iter().any(|it| text.trim_start().starts_with(it))
}

fn long_lines(path: &str, first: usize, text: &str) -> Vec<Complaint> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.map(|(at, line)| (first + at, line, line.chars().count()));
    let long = lines.filter(|(_, _, n_chars)| *n_chars > MAX_LINE);
    long.map(|(at, line, n_chars)| {
        format!("{path}:{at}: {n_chars} characters in a line, at most {MAX_LINE}: {line}")
    })
    .collect()
}

/// Faults of the sentences of a text. A sentence can continue in the next line, unless each line is a text of its own.
fn plain_sentences(path: &str, first: usize, text: &str, each_line: bool) -> Vec<Complaint> {
    if each_line {
        let lines = text.lines().enumerate();
        return lines
            .flat_map(|(at, line)| plain_sentences(path, first + at, line, false))
            .collect();
    }
    let mut complaints = Vec::new();
    for sentence in sentences(text) {
        let at = first + sentence.line - 1;
        let faults = faults(&sentence).into_iter();
        complaints.extend(faults.map(|it| format!("{path}:{at}: {it}: {}", sentence.text)));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<Complaint> {
        messages_are_plain(&[File {
            path: path.to_owned(),
            text: text.to_owned(),
        }])
    }

    fn in_program(text: &str) -> Vec<Complaint> {
        found("tracer-user/src/x.rs", text)
    }

    #[test]
    fn a_message_with_a_fault_is_reported_at_its_line() {
        assert_eq!(
            in_program("fn f() {\n    g(\"the log says why\");\n}"),
            [
                "tracer-user/src/x.rs:2: \"says\" (write: reports, prints, contains): the log says why"
            ]
        );
        assert_eq!(
            in_program("#[error(\"Whether {path} works is open\")]").len(),
            1
        );
    }

    #[test]
    fn each_line_of_a_message_has_a_limit_of_its_own() {
        let line = |n: usize| "word ".repeat(n / 5 - 1) + "ends.";
        let message = |text: &str| in_program(&format!("f(\"{text}\");")).len();
        assert_eq!(message(&line(MAX_LINE)), 0);
        assert_eq!(
            message(&format!("{}\\n{}", line(MAX_LINE), line(MAX_LINE))),
            0
        );
        assert_eq!(message(&line(MAX_LINE + 5)), 1);
        assert_eq!(message(&format!("{} \\\n   {}", line(60), line(65))), 1);
    }

    #[test]
    fn help_is_wrapped_but_the_lines_of_its_comments_are_not() {
        let long = "word ".repeat(MAX_LINE / 5) + "ends.";
        assert!(in_program(&format!("#[arg(help = \"{long}\")]")).is_empty());
        assert!(in_program(&format!("after_long_help = format!(\"{long}\")")).is_empty());
        assert_eq!(in_program(&format!("let it = \"{long}\";")).len(), 1);
        let comment = format!("    /// {long}\n    flag: bool,");
        assert_eq!(found("tracer-user/src/cli/run.rs", &comment).len(), 1);
    }

    #[test]
    fn code_of_other_languages_symbols_and_tests_are_exempt() {
        for code in [
            "f(\"SELECT what FROM it WHERE it says so\")",
            "f(r#\"{\"key\": \"it says so\"}\"#)",
            "f(\"it_says\", \"runtime.says\", \"/says/who/why\", \"says {who} {why}\")",
            "// says the comment",
            "#[cfg(test)]\nmod tests { fn f() { g(\"the log says why\") } }",
        ] {
            assert!(
                in_program(code).is_empty(),
                "{code}: {:?}",
                in_program(code)
            );
        }
        assert!(found("tests/src/x.rs", "f(\"the log says why\")").is_empty());
        assert!(found("tracer-core/src/x/tests/y.rs", "f(\"the log says why\")").is_empty());
    }

    #[test]
    fn comments_of_the_configuration_and_of_the_deployment_are_read() {
        let toml = "# The log says why.\n#says = \"it says so\"\nsays = 1\n";
        assert_eq!(found("tracer-user/src/config/example.toml", toml).len(), 1);
        assert_eq!(
            found(
                "deploy/helm/x/values.yaml",
                "a:\n  # What is here is told.\n  b: says\n"
            )
            .len(),
            2
        );
        assert_eq!(
            found("deploy/x/NOTES.txt", "It says so.\n{{ if says }}\n").len(),
            1
        );
        let rules = "summary: It says so\ndescription: 'It says so'\nexpr: says\n";
        assert_eq!(found("deploy/x/rules.yaml", rules).len(), 2);
    }
}
