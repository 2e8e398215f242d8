//! The table of probes, read from the text that is compiled in.
//!
//! Each probe has one row for each layout that its arguments have had. The kernel's table has the rows of all of them, so that
//! a row's index says both which probe it is and what was captured.

use std::sync::LazyLock;

use serde::Deserialize;
use tracer_abi::{Capture, Prefix, Spec, level, span};
use tracer_core::decode::PointKind;
use tracer_core::event::Role;

const TEXT: &str = include_str!("probes.toml");

/// All probes, and the kernel's rows for them.
#[derive(Default)]
pub(super) struct Table {
    pub(super) probes: Vec<Probe>,
    pub(super) specs: Vec<Spec>,
    pub(super) prefixes: Vec<Prefix>,
    pub(super) points: Vec<PointKind>,
}

/// A function that is worth probing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    pub(super) name: String,
    pub(super) roles: Vec<Role>,
    point: PointKind,
    level: Level,
    span: Option<Span>,
    #[serde(default)]
    begins: Vec<String>,
    /// Names the function has had; the first that a file has is it.
    pub(super) symbols: Vec<String>,
    pub(super) layouts: Vec<Layout>,
}

/// What a function's arguments hold in some versions of Go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    /// Minor versions, the first and the last.
    pub(super) versions: (u32, u32),
    captures: Vec<CaptureRow>,
    /// Index in the kernel's table.
    #[serde(skip)]
    pub(super) spec: u16,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Phase,
    CacheKey,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Span {
    Opens,
    Closes,
}

/// A capture, as a row of the table says it.
#[derive(Clone, Copy, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum CaptureRow {
    Word { arg: u8 },
    Text { arg: u8, len_arg: u8 },
    Texts { arg: u8, len_arg: u8 },
    WordAt { arg: u8, offsets: Offsets },
    TextAt { arg: u8, offsets: Offsets },
}

/// Byte offsets of a chain of pointers; the last leads to the value.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Offsets {
    One([u32; 1]),
    Two([u32; 2]),
    Three([u32; 3]),
}

/// The table that is compiled in; a test proves that it can be read.
pub(super) fn builtin() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| parse(TEXT).unwrap_or_default());
    &TABLE
}

fn parse(text: &str) -> Result<Table, toml::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        probe: Vec<Probe>,
    }
    let mut table = Table {
        probes: toml::from_str::<File>(text)?.probe,
        ..Table::default()
    };
    for probe in &mut table.probes {
        let prefixes = probe.begins.iter().map(|it| Prefix::of(it.as_bytes()));
        table.prefixes.extend(prefixes);
        for layout in &mut probe.layouts {
            layout.spec = u16::try_from(table.specs.len()).unwrap_or(u16::MAX);
            table
                .specs
                .push(spec(probe.level, probe.span, &layout.captures));
            table.points.push(probe.point);
        }
    }
    Ok(table)
}

fn spec(level: Level, span: Option<Span>, rows: &[CaptureRow]) -> Spec {
    let mut spec = Spec {
        level: level.number(),
        span: match span {
            None => span::NONE,
            Some(Span::Opens) => span::OPENS,
            Some(Span::Closes) => span::CLOSES,
        },
        ..Spec::default()
    };
    for (capture, row) in spec.captures.iter_mut().zip(rows) {
        *capture = row.capture();
        spec.n_captures += 1;
    }
    spec
}

impl Level {
    fn number(self) -> u32 {
        match self {
            Self::Phase => level::PHASE,
            Self::CacheKey => level::CACHE_KEY,
        }
    }
}

impl CaptureRow {
    fn capture(self) -> Capture {
        match self {
            Self::Word { arg } => Capture {
                op: Capture::WORD,
                arg,
                ..Capture::default()
            },
            Self::Text { arg, len_arg } => Capture {
                op: Capture::TEXT,
                arg,
                len_arg,
                ..Capture::default()
            },
            Self::Texts { arg, len_arg } => Capture {
                op: Capture::TEXTS,
                arg,
                len_arg,
                ..Capture::default()
            },
            Self::WordAt { arg, offsets } => offsets.chain(Capture {
                op: Capture::WORD_AT,
                arg,
                ..Capture::default()
            }),
            Self::TextAt { arg, offsets } => offsets.chain(Capture {
                op: Capture::TEXT_AT,
                arg,
                ..Capture::default()
            }),
        }
    }
}

impl Offsets {
    fn chain(self, capture: Capture) -> Capture {
        let (hops, offset) = match self {
            Self::One([a]) => (0, [a, 0, 0]),
            Self::Two([a, b]) => (1, [a, b, 0]),
            Self::Three(all) => (2, all),
        };
        Capture {
            hops,
            offset,
            ..capture
        }
    }
}

impl Probe {
    /// The row for a version of Go.
    pub(super) fn layout(&self, minor: u32) -> Option<&Layout> {
        self.layouts
            .iter()
            .find(|it| (it.versions.0..=it.versions.1).contains(&minor))
    }

    /// The versions that are known, as a sentence has them.
    pub(super) fn known(&self) -> String {
        let ranges = self.layouts.iter().map(|it| match it.versions {
            (first, last) if first == last => format!("1.{first}"),
            (first, last) => format!("1.{first} to 1.{last}"),
        });
        ranges.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use tracer_abi::{CAPTURES, PREFIXES_MAX, SPECS_MAX};

    use super::*;

    #[test]
    fn the_table_that_is_compiled_in_can_be_read() {
        let table = parse(TEXT).unwrap();
        assert!(!table.specs.is_empty() && table.specs.len() <= SPECS_MAX);
        assert!(!table.prefixes.is_empty() && table.prefixes.len() <= PREFIXES_MAX);
        for probe in &table.probes {
            for layout in &probe.layouts {
                let name = &probe.name;
                assert!(layout.versions.0 <= layout.versions.1, "{name}");
                assert!(layout.captures.len() <= CAPTURES, "{name}");
                // The kernel side gives the room of all texts to a list of them.
                let has_list = layout
                    .captures
                    .iter()
                    .any(|it| matches!(it, CaptureRow::Texts { .. }));
                assert!(!has_list || layout.captures.len() == 1, "{name}");
                // The kernel side reads the text that it compares where the arguments say, not behind a pointer.
                let opens = matches!(probe.span, Some(Span::Opens));
                let begins_with_text =
                    matches!(layout.captures.first(), Some(CaptureRow::Text { .. }));
                assert!(!opens || begins_with_text, "{name}");
            }
            for minor in 0..100 {
                let n = probe
                    .layouts
                    .iter()
                    .filter(|it| (it.versions.0..=it.versions.1).contains(&minor))
                    .count();
                assert!(n <= 1, "{} has two rows for 1.{minor}", probe.name);
            }
        }
    }

    #[test]
    fn the_install_target_moves_with_the_version() {
        let table = parse(TEXT).unwrap();
        let install = table
            .probes
            .iter()
            .find(|it| it.point == PointKind::Install)
            .unwrap();
        let target = |minor| {
            let layout = install.layout(minor)?;
            Some(table.specs[usize::from(layout.spec)].captures[0].offset[0])
        };
        let targets = [19, 20, 21, 23, 24, 25, 26, 27, 28].map(target);
        let known = [
            Some(152),
            None,
            Some(160),
            Some(160),
            Some(168),
            Some(168),
            Some(184),
            Some(184),
            None,
        ];
        assert_eq!(targets, known);
    }

    #[test]
    fn a_chain_of_pointers_keeps_its_order() {
        let capture = CaptureRow::TextAt {
            arg: 3,
            offsets: Offsets::Three([24, 0, 168]),
        }
        .capture();
        assert_eq!(
            (capture.op, capture.arg, capture.hops, capture.offset),
            (Capture::TEXT_AT, 3, 2, [24, 0, 168])
        );
    }
}
