//! Extracts the sentences of a Markdown file, with their lines.
//!
//! Sentences come from paragraphs, list items, headings and table cells. Code blocks, comments and link targets are left out, and
//! inline code becomes one word. A comment that begins with `<!-- quoted` leaves out the next block, which quotes a program's
//! output. This module is not a Markdown parser: it reads the forms that this repository uses, and applies no rules.

/// One inline code span, whatever its content.
const CODE: &str = "`code`";

/// The part of a document that a sentence belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Heading,
    /// A paragraph or a list item.
    Text,
    Cell,
}

/// A sentence, or a fragment of one in a heading or a cell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// The line on which its paragraph, item or cell begins, from one.
    pub(super) line: usize,
    pub(super) part: Part,
    pub(super) text: String,
}

/// All sentences of a document, in order.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for block in blocks(text) {
        let plain = plain(&block.text);
        for text in split(&plain) {
            sentences.push(Sentence {
                line: block.line,
                part: block.part,
                text,
            });
        }
    }
    sentences
}

struct Block {
    line: usize,
    part: Part,
    text: String,
}

/// Effect of the previous lines on the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No paragraph is open.
    Between,
    /// The last block is a paragraph or an item, which the next line may continue.
    Open,
    /// In a code block.
    Code,
    /// In a quoted block, until an empty line.
    Quoted,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut state = State::Between;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let block = |part, text: &str| Block {
            line: at + 1,
            part,
            text: text.to_owned(),
        };
        let is_fence = line.starts_with("```");
        state = match state {
            State::Code if is_fence => State::Between,
            State::Code => State::Code,
            _ if is_fence => State::Code,
            _ if line.is_empty() => State::Between,
            State::Quoted => State::Quoted,
            _ if line.starts_with("<!-- quoted") => State::Quoted,
            _ if line.starts_with("<!--") => State::Between,
            State::Between | State::Open => {
                if let Some(heading) = line.strip_prefix('#') {
                    blocks.push(block(Part::Heading, heading.trim_start_matches('#')));
                    State::Between
                } else if line.starts_with('|') {
                    let cells = cells(line);
                    blocks.extend(cells.iter().map(|it| block(Part::Cell, it)));
                    State::Between
                } else if let Some(item) = item(line) {
                    blocks.push(block(Part::Text, item));
                    State::Open
                } else if let (State::Open, Some(last)) = (state, blocks.last_mut()) {
                    last.text.push(' ');
                    last.text.push_str(line);
                    State::Open
                } else {
                    blocks.push(block(Part::Text, line));
                    State::Open
                }
            }
        };
    }
    blocks
}

/// The text of a list item: `* text`, `- text`, `1. text`.
fn item(line: &str) -> Option<&str> {
    let bullet = line.strip_prefix("* ").or_else(|| line.strip_prefix("- "));
    bullet.or_else(|| {
        let (number, text) = line.split_once(". ")?;
        let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
        is_number.then_some(text)
    })
}

/// Cells of a table row; none for the row under the head. A bar in inline code is not a border.
fn cells(line: &str) -> Vec<String> {
    let line = without_code(line);
    let cells = line.split('|').map(str::trim);
    let filled = cells.filter(|it| it.chars().any(|it| !matches!(it, '-' | ':' | ' ')));
    filled.map(str::to_owned).collect()
}

/// Visible words: without link targets and emphasis, with one word for each inline code.
fn plain(text: &str) -> String {
    let text = without_code(text);
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("](") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain.replace("**", "").replace(['[', ']'], "")
}

fn without_code(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    let pieces = pieces.map(|(at, piece)| if at % 2 == 0 { piece } else { CODE });
    pieces.collect()
}

/// Splits after each word that ends in a full stop, a question mark or an exclamation mark.
fn split(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        words.push(word);
        let end = word.trim_end_matches(['"', ')', '*', '_']);
        if end.ends_with(['.', '?', '!']) {
            sentences.push(words.join(" "));
            words.clear();
        }
    }
    if !words.is_empty() {
        sentences.push(words.join(" "));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        sentences(text).into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn a_paragraph_is_split_at_full_stops_and_not_at_line_ends() {
        assert_eq!(
            texts(
                "One sentence on\ntwo lines. Another one, 1.5 long.\n\n* An item\n  of two lines\n1. A number\n"
            ),
            [
                "One sentence on two lines.",
                "Another one, 1.5 long.",
                "An item of two lines",
                "A number"
            ]
        );
    }

    #[test]
    fn code_and_link_targets_are_left_out() {
        assert_eq!(
            texts(
                "Run `go build. What.` now.\n```\nWhat is here.\n```\nSee [the page](docs/what.md#who).\n"
            ),
            ["Run `code` now.", "See the page."]
        );
    }

    #[test]
    fn table_cells_are_separate_sentences_with_their_line() {
        let found = sentences("# Head\n\n| `a|b` | Two words |\n|---|--:|\n| | x. Y |\n");
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.line, it.part, it.text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (1, Part::Heading, "Head"),
                (3, Part::Cell, "`code`"),
                (3, Part::Cell, "Two words"),
                (5, Part::Cell, "x."),
                (5, Part::Cell, "Y")
            ]
        );
    }

    #[test]
    fn only_the_quoted_block_is_left_out() {
        assert_eq!(
            texts(
                "<!-- quoted: printed by a test -->\n| it says so |\n\nAfter it.\n<!-- a note -->\nMore.\n"
            ),
            ["After it.", "More."]
        );
    }
}
