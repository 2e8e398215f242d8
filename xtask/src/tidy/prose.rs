//! Rules about the language of documents and comments: short sentences, a subject first, the field's verbs.
//!
//! Checks every Markdown file and every comment in Rust code. The rules read words, not grammar, so they are narrow: they reject no
//! correct sentence, but miss many wrong ones. [`super::message`] checks messages.

use std::borrow::Cow;

use super::markdown::{Part, Sentence, sentences};
use super::{Complaint, File};

/// Words in a sentence, inline code counted as one. Authors aim at 25.
const MAX_WORDS: usize = 30;

/// Words that begin a noun clause, unless the sentence is a question.
const CLAUSES: &[&str] = &[
    "what", "who", "whoever", "whom", "whose", "which", "whether", "how", "why",
];
/// Pairs of words that begin a noun clause.
const CLAUSE_PAIRS: &[(&str, &str)] = &[("of", "which"), ("of", "what"), ("that", "which")];
/// The word begins an adverbial clause before a comma (`Where X is missing, Y fails`), else a noun clause.
const ADVERB: &str = "where";

/// A phrase, and replacements for it.
type Phrase = (&'static [&'static str], &'static str);

const PHRASES: &[Phrase] = &[
    (&["say"], "report, print, contain"),
    (&["says"], "reports, prints, contains"),
    (&["said"], "reported, printed"),
    (&["saying"], "reporting"),
    (&["tell"], "report, send, distinguish"),
    (&["tells"], "reports, sends, distinguishes"),
    (&["told"], "reported, sent; name the receiver"),
    (&["telling"], "reporting"),
    (&["know"], "store, detect, contain"),
    (&["knows"], "stores, detects, contains"),
    (&["knew"], "stored, detected"),
    (&["look", "at"], "read, check, inspect"),
    (&["looks", "at"], "reads, checks, inspects"),
    (&["looked", "at"], "read, checked, inspected"),
    (&["look", "into"], "read, analyse"),
    (&["looks", "into"], "reads, analyses"),
    (&["looked", "into"], "read, analysed"),
    (&["looks", "for"], "searches, finds"),
    (&["looked", "for"], "searched, found"),
    (&["looks", "whether"], "checks whether"),
    (&["whoever"], "a process that, a user who"),
    (&["at", "hand"], "available"),
    (&["is", "over"], "ended, has ended"),
    (&["are", "over"], "ended, have ended"),
    (&["was", "over"], "had ended"),
    (&["go", "on"], "continue"),
    (&["goes", "on"], "continues"),
    (&["going", "on"], "continuing"),
    (&["went", "on"], "continued"),
    (&["let", "go"], "detach, release"),
    (&["lets", "go"], "detaches, releases"),
    (&["taken", "apart"], "analysed"),
    (&["takes", "apart"], "analyses"),
    (&["put", "on"], "attach, attached"),
    (&["puts", "on"], "attaches"),
    (&["takes", "away"], "removes"),
    (&["taken", "away"], "removed"),
    (&["takes", "along"], "loses, removes"),
    (&["came", "of"], "name the result"),
    (&["became", "of"], "name the result"),
    (&["becomes", "of"], "name the result"),
    (&["none", "of", "it"], "name the thing"),
    (&["there", "is", "none"], "name the missing thing"),
    (&["there", "are", "none"], "name the missing things"),
    (&["die", "of"], "crash with, be killed by"),
    (&["dies", "of"], "crashes with, is killed by"),
    (&["died", "of"], "crashed with, was killed by"),
    (&["as", "ever"], "as usual"),
    (&["good", "hands"], "stored"),
    (&["keeper"], "storage process"),
    (&["watcher"], "observer"),
    (&["minder"], "supervisor"),
    (&["walls"], "restrictions"),
];

/// Checks that sentences are short, begin with their subject, and use the field's verbs.
pub(crate) fn documents_are_plain(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|it| it.is_markdown() || it.is_rust()) {
        let text = if file.is_rust() {
            Cow::Owned(comments(&file.text))
        } else {
            Cow::Borrowed(&*file.text)
        };
        for sentence in sentences(&text) {
            let found = faults(&sentence);
            let place = format!("{}:{}", file.path, sentence.line);
            complaints.extend(
                found
                    .into_iter()
                    .map(|it| format!("{place}: {it}: {}", start(&sentence.text))),
            );
        }
    }
    complaints
}

/// The comments of Rust code as Markdown, each on its own line. Code becomes empty lines.
fn comments(code: &str) -> String {
    let lines = code.lines().map(|line| {
        let comment = line.trim_start().strip_prefix("//");
        comment.map_or("", |it| it.trim_start_matches(['/', '!']).trim_start())
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn faults(sentence: &Sentence) -> Vec<String> {
    let words = words(&sentence.text);
    let mut faults = Vec::new();
    if sentence.part != Part::Heading && words.len() > MAX_WORDS {
        faults.push(format!("{} words, at most {MAX_WORDS}", words.len()));
    }
    if begins_with_a_clause(sentence, &words) {
        faults.push("begins with a noun clause; name the subject first".to_owned());
    }
    for (phrase, instead) in PHRASES {
        let is_here = |window: &[String]| window.iter().zip(*phrase).all(|(word, it)| word == it);
        if words.windows(phrase.len()).any(is_here) {
            faults.push(format!("\"{}\" (write: {instead})", phrase.join(" ")));
        }
    }
    faults
}

/// Words in lower case, without surrounding punctuation.
fn words(text: &str) -> Vec<String> {
    let words = text.split_whitespace();
    let words = words.map(|it| it.trim_matches(|it: char| !it.is_alphanumeric()));
    words
        .filter(|it| !it.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Returns whether a sentence begins with a noun clause. Fragments in cells and questions are exempt.
fn begins_with_a_clause(sentence: &Sentence, words: &[String]) -> bool {
    let text = sentence.text.as_str();
    let is_fragment = sentence.part == Part::Cell && !text.ends_with('.');
    let is_capital = text
        .trim_start_matches(['(', '"'])
        .starts_with(char::is_uppercase);
    if is_fragment || !is_capital || text.ends_with('?') {
        return false;
    }
    let (first, second) = (word(words, 0), word(words, 1));
    CLAUSES.contains(&first)
        || CLAUSE_PAIRS.contains(&(first, second))
        || (first == ADVERB && !text.contains(','))
}

fn word(words: &[String], at: usize) -> &str {
    words.get(at).map_or("", String::as_str)
}

/// The first words of a sentence, to identify it.
fn start(text: &str) -> String {
    const WORDS: usize = 8;
    let words: Vec<&str> = text.split_whitespace().take(WORDS).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Complaint> {
        documents_are_plain(&[File {
            path: "docs/x.md".to_owned(),
            text: text.to_owned(),
        }])
    }

    #[test]
    fn a_long_sentence_is_reported_at_its_first_line() {
        let sentence = |n: usize| "word ".repeat(n - 1) + "end.";
        assert!(found(&sentence(MAX_WORDS)).is_empty());
        let long = found(&format!("Short.\n\n{}", sentence(MAX_WORDS + 1)));
        assert_eq!(long.len(), 1);
        assert!(
            long.iter()
                .all(|it| it.starts_with("docs/x.md:3: 31 words")),
            "{long:?}"
        );
        assert_eq!(found(&format!("| {} |", sentence(MAX_WORDS + 1))).len(), 1);
        assert!(found(&format!("```\n{}\n```", sentence(MAX_WORDS + 1))).is_empty());
    }

    #[test]
    fn a_leading_noun_clause_is_found() {
        for text in [
            "What it does is this.",
            "Who writes over a tool waits.",
            "Of which no toolchain was seen.",
            "Whether it works depends.",
            "Where it goes is not decided here.",
            "## What is kept",
            "| What was seen is here. |",
        ] {
            assert_eq!(found(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn questions_and_conditions_are_exempt() {
        for text in [
            "What does it do?",
            "Where tracefs is not available, gotrace reports this.",
            "gotrace stores what it read.",
            "| what | Which kernels pass |",
            "* `x`: How does it work?",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn phrases_match_whole_words_only() {
        for text in [
            "It says so.",
            "The tool is looked at.",
            "A build that is over.",
            "Nobody is told.",
            "## Walls",
            "The loop\ngoes on.",
        ] {
            assert_eq!(found(text).len(), 1, "{text}");
        }
        for text in [
            "The essays, a look-up and hearsay.",
            "gotrace looks up the process.",
            "Run `gotrace says`.",
            "The wall time.",
            "<!-- quoted: printed -->\n| it says so |",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn comments_are_checked_and_code_is_not() {
        let of = |text: &str| {
            documents_are_plain(&[File {
                path: "a.rs".to_owned(),
                text: text.to_owned(),
            }])
        };
        assert_eq!(of("fn a() {}\n\n    // It says\n    // so."), of_line(3));
        assert_eq!(of("//! It says so.").len(), 1);
        assert!(of("let it_says = \"it says\"; f(it, says);").is_empty());
    }

    fn of_line(line: usize) -> Vec<Complaint> {
        vec![format!(
            "a.rs:{line}: \"says\" (write: reports, prints, contains): It says so."
        )]
    }
}
