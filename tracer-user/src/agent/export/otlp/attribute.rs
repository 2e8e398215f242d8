//! Attributes in the form of OTLP: names with texts, numbers or lists. Texts are shortened, and control characters are
//! escaped, because terminals and pages display them.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};

use crate::render::style::escape;

/// Maximum length of a text in bytes.
const TEXT: usize = 1024;
/// Maximum number of texts in a list.
const LIST: usize = 64;

/// Attributes under construction.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.put(name, text_value(value));
    }

    /// Adds a text, if there is one.
    pub(super) fn text_of(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.put(name, Value::IntValue(value));
    }

    pub(super) fn truth(&mut self, name: &str, value: bool) {
        self.put(name, Value::BoolValue(value));
    }

    /// Adds a list, unless it is empty.
    pub(super) fn list<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) {
        let values: Vec<AnyValue> = values.take(LIST).map(|it| any(text_value(it))).collect();
        if !values.is_empty() {
            self.put(name, Value::ArrayValue(ArrayValue { values }));
        }
    }

    pub(super) fn into_inner(self) -> Vec<KeyValue> {
        self.0
    }

    fn put(&mut self, name: &str, value: Value) {
        self.0.push(KeyValue {
            key: name.to_owned(),
            value: Some(any(value)),
            ..KeyValue::default()
        });
    }
}

/// A text without a name: the body of a log record.
pub(super) fn text(value: &str) -> AnyValue {
    any(text_value(value))
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text_value(value: &str) -> Value {
    Value::StringValue(cut(&escape(value)).to_owned())
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_lists_are_cut() {
        let mut attributes = Attributes::default();
        attributes.text("a", &"\u{e9}x".repeat(1000));
        attributes.list("b", std::iter::repeat_n("x", 1000));
        attributes.list("c", std::iter::empty());
        attributes.list("e", ["\u{1b}[2J\n", "a\u{202e}b"].into_iter());
        attributes.number("d", u64::MAX);
        let attributes = attributes.into_inner();
        assert_eq!(attributes.len(), 4);
        let value = |at: usize| attributes[at].value.clone().unwrap().value.unwrap();
        let Value::StringValue(text) = value(0) else {
            panic!("no text")
        };
        assert!(text.len() <= TEXT && text.len() > TEXT - 2);
        let Value::ArrayValue(list) = value(1) else {
            panic!("no list")
        };
        assert_eq!(list.values.len(), LIST);
        let harmless = [r"\u{1b}[2J\u{a}", r"a\u{202e}b"].map(super::text);
        let values = harmless.to_vec();
        assert_eq!(value(2), Value::ArrayValue(ArrayValue { values }));
        assert_eq!(value(3), Value::IntValue(i64::MAX));
    }
}
