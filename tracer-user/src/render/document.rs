//! The layout of every JSON document: times for people beside those for machines, and no character that can change a terminal.
//!
//! A document contains times in nanoseconds. Beside `X_ns` the writer adds `X_seconds`, and beside an instant `X_at` in RFC 3339 form.
//! [`describe`] adds the same fields to the schema of a document. Documents are written as a stream, without a copy in memory.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};
use serde_json::{Map, Value};

use super::style::is_unsafe;
use crate::history::rfc3339;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// The layout of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Over several lines, for people too.
    Indented,
    /// On one line, for line-oriented tools.
    Line,
}

/// Writes the document and a newline.
///
/// Characters that can change the look of other text are written as `\u001b`. A JSON reader gets the same string, and a terminal is
/// safe.
pub fn write_document(
    document: &impl Serialize,
    layout: Layout,
    mut out: &mut dyn Write,
) -> io::Result<()> {
    let written = match layout {
        Layout::Indented => {
            let formatter = DocumentFormatter::new(PrettyFormatter::new());
            document.serialize(&mut Serializer::with_formatter(&mut out, formatter))
        }
        Layout::Line => {
            let formatter = DocumentFormatter::new(CompactFormatter);
            document.serialize(&mut Serializer::with_formatter(&mut out, formatter))
        }
    };
    written?;
    writeln!(out)
}

/// The field that is added beside a time in nanoseconds.
#[derive(Debug, PartialEq, Eq)]
enum Companion {
    /// A duration, in seconds.
    Seconds(String),
    /// An instant, in RFC 3339 form.
    At(String),
}

impl Companion {
    fn of(field: &str) -> Option<Self> {
        match field {
            "ns" => Some(Self::Seconds("seconds".to_owned())),
            "started_ns" => Some(Self::At("started_at".to_owned())),
            "ended_ns" => Some(Self::At("ended_at".to_owned())),
            // A distance between two clocks is neither.
            "boot_to_wall_ns" => None,
            _ => {
                let name = field.strip_suffix("_ns")?;
                // A name of a build is no field of a document.
                if !name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_') {
                    return None;
                }
                Some(Self::Seconds(format!("{name}_seconds")))
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Seconds(name) | Self::At(name) => name,
        }
    }
}

/// A duration as the text of a number, without rounding.
pub fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / NS_PER_SECOND, ns % NS_PER_SECOND);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') {
        format!("{short}0")
    } else {
        short.to_owned()
    }
}

/// Adds companions and escapes characters; the inner formatter makes the layout.
#[derive(Debug)]
struct DocumentFormatter<F> {
    layout: F,
    /// The name of the last field, until its value is an array or an object.
    field: String,
    is_in_name: bool,
    /// The value of the field, if it is a number or null.
    number: Option<Number>,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Null,
    Unsigned(u64),
    Signed(i64),
}

impl<F: Formatter> DocumentFormatter<F> {
    fn new(layout: F) -> Self {
        Self {
            layout,
            field: String::new(),
            is_in_name: false,
            number: None,
        }
    }

    fn forget(&mut self) {
        self.field.clear();
        self.number = None;
    }

    /// The companion of the field that just ended, and its value.
    fn companion(&mut self) -> Option<(Companion, String)> {
        let number = self.number.take()?;
        let companion = Companion::of(&self.field)?;
        let value = match (&companion, number) {
            (_, Number::Null) => "null".to_owned(),
            (Companion::Seconds(_), Number::Unsigned(ns)) => seconds(ns),
            (Companion::Seconds(_), Number::Signed(ns)) => {
                let sign = if ns < 0 { "-" } else { "" };
                format!("{sign}{}", seconds(ns.unsigned_abs()))
            }
            (Companion::At(_), Number::Unsigned(ns)) => quoted(i64::try_from(ns).ok()?),
            (Companion::At(_), Number::Signed(ns)) => quoted(ns),
        };
        Some((companion, value))
    }
}

fn quoted(ns: i64) -> String {
    format!("\"{}\"", rfc3339(ns))
}

impl<F: Formatter> Formatter for DocumentFormatter<F> {
    fn write_null<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.number = Some(Number::Null);
        self.layout.write_null(out)
    }

    fn write_u64<W: ?Sized + Write>(&mut self, out: &mut W, value: u64) -> io::Result<()> {
        self.number = Some(Number::Unsigned(value));
        self.layout.write_u64(out, value)
    }

    fn write_i64<W: ?Sized + Write>(&mut self, out: &mut W, value: i64) -> io::Result<()> {
        self.number = Some(Number::Signed(value));
        self.layout.write_i64(out, value)
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if self.is_in_name {
            self.field.push_str(fragment);
        }
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, it)| is_unsafe(*it)) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = after.get(character.len_utf8()..).unwrap_or_default();
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.forget();
        self.layout.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.forget();
        self.layout.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.layout.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.layout.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.forget();
        self.layout.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.forget();
        self.layout.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.forget();
        self.is_in_name = true;
        self.layout.begin_object_key(out, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.is_in_name = false;
        self.number = None;
        self.layout.end_object_key(out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.layout.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.layout.end_object_value(out)?;
        let companion = self.companion();
        self.forget();
        let Some((companion, value)) = companion else {
            return Ok(());
        };
        self.layout.begin_object_key(out, false)?;
        write!(out, "\"{}\"", companion.name())?;
        self.layout.end_object_key(out)?;
        self.layout.begin_object_value(out)?;
        out.write_all(value.as_bytes())?;
        self.layout.end_object_value(out)
    }
}

/// Adds the companions of all fields to the schema of a document.
pub fn describe(mut schema: Value) -> Value {
    describe_below(&mut schema);
    schema
}

fn describe_below(schema: &mut Value) {
    match schema {
        Value::Object(schema) => {
            schema.values_mut().for_each(describe_below);
            describe_fields(schema);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(describe_below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn describe_fields(schema: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    let mut required = Vec::new();
    for (field, property) in properties.clone() {
        let Some(companion) = Companion::of(&field) else {
            continue;
        };
        let (kind, description) = match companion {
            Companion::Seconds(_) => ("number", format!("`{field}` in seconds.")),
            Companion::At(_) => (
                "string",
                format!("`{field}` in RFC 3339 form, in UTC, with milliseconds."),
            ),
        };
        let is_nullable = property.get("type").is_some_and(Value::is_array);
        let kind = if is_nullable {
            serde_json::json!([kind, "null"])
        } else {
            serde_json::json!(kind)
        };
        let added = serde_json::json!({ "description": description, "type": kind });
        properties.insert(companion.name().to_owned(), added);
        required.push((field, companion));
    }
    let Some(Value::Array(names)) = schema.get_mut("required") else {
        return;
    };
    for (field, companion) in required {
        if let Some(at) = names.iter().position(|it| *it == field) {
            names.insert(at + 1, companion.name().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Sample<'a> {
        started_ns: i64,
        ended_ns: Option<i64>,
        wall_ns: u64,
        boot_to_wall_ns: i64,
        phases: Vec<Phase>,
        list_ns: [u64; 2],
        name: &'a str,
        last_ns: u64,
    }

    #[derive(Serialize)]
    struct Phase {
        ns: u64,
        longest_ns: Option<u64>,
    }

    fn sample(name: &str) -> Sample<'_> {
        Sample {
            started_ns: 1_795_183_509_012_999_999,
            ended_ns: None,
            wall_ns: 2_000_000_000,
            boot_to_wall_ns: 17,
            phases: vec![Phase {
                ns: 1,
                longest_ns: None,
            }],
            list_ns: [1, 2],
            name,
            last_ns: 1_050_000_000,
        }
    }

    fn written(name: &str, layout: Layout) -> String {
        let mut out = Vec::new();
        write_document(&sample(name), layout, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_for_people_are_beside_those_for_machines() {
        let expected = r#"{"started_ns":1795183509012999999,"started_at":"2026-11-20T14:05:09.012Z","ended_ns":null,"ended_at":null,"wall_ns":2000000000,"wall_seconds":2.0,"boot_to_wall_ns":17,"phases":[{"ns":1,"seconds":0.000000001,"longest_ns":null,"longest_seconds":null}],"list_ns":[1,2],"name":"x","last_ns":1050000000,"last_seconds":1.05}"#;
        assert_eq!(written("x", Layout::Line), format!("{expected}\n"));
    }

    #[test]
    fn both_layouts_contain_the_same_document() {
        let indented = written("a\n\u{1b}", Layout::Indented);
        let line = written("a\n\u{1b}", Layout::Line);
        assert_eq!(line.lines().count(), 1);
        assert!(
            indented.contains("\n  \"wall_seconds\": 2.0,\n"),
            "{indented}"
        );
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&indented), read(&line));
    }

    #[test]
    fn a_name_cannot_write_to_the_terminal_and_reads_back() {
        let name = "a\u{1b}[2J\u{202e}b\u{e0041}\u{7f}é\n";
        for layout in [Layout::Indented, Layout::Line] {
            let text = written(name, layout);
            assert!(
                text.contains(r"a\u001b[2J\u202eb\udb40\udc41\u007fé\n"),
                "{text}"
            );
            let back: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(back["name"], name);
        }
    }

    #[test]
    fn the_schema_describes_the_added_fields() {
        let schema = describe(json!({
            "$defs": { "Phase": {
                "properties": { "ns": { "type": "integer" }, "end_ns": { "type": ["integer", "null"] } },
                "required": ["ns"]
            } },
            "properties": { "started_ns": { "type": "integer" }, "boot_to_wall_ns": { "type": "integer" } }
        }));
        let phase = &schema["$defs"]["Phase"];
        assert_eq!(phase["properties"]["seconds"]["type"], "number");
        assert_eq!(
            phase["properties"]["end_seconds"]["type"],
            json!(["number", "null"])
        );
        assert_eq!(phase["required"], json!(["ns", "seconds"]));
        assert_eq!(schema["properties"]["started_at"]["type"], "string");
        assert_eq!(schema["properties"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn seconds_are_exact() {
        for (ns, text) in [
            (0, "0.0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(seconds(ns), text);
        }
    }
}
