//! The table of probes, parsed from the text that is compiled in.
//!
//! Each probe has one row for each layout of its arguments. The kernel's table contains all rows, so the index of a row identifies the
//! probe and its captures.

use std::sync::LazyLock;

use serde::Deserialize;
use tracer_abi::{Capture, Guard, Prefix, Spec, Text, level, span};
use tracer_core::decode::PointKind;
use tracer_core::event::Role;

use super::structs::Struct;

const TEXT: &str = include_str!("probes.toml");

/// All probes, and the kernel's rows for them.
#[derive(Default)]
pub(super) struct ProbeTable {
    pub(super) probes: Vec<Probe>,
    pub(super) specs: Vec<Spec>,
    pub(super) prefixes: Vec<Prefix>,
    pub(super) points: Vec<PointKind>,
}

/// A function to probe.
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
    pub(super) guard: Option<GuardRow>,
    /// Set if the probe is on the calls of the function, where they can be found, and not in the function.
    pub(super) calls: Option<Calls>,
    /// Names that the function has had; the first one in a file is used.
    pub(super) symbols: Vec<String>,
    pub(super) layouts: Vec<Layout>,
}

/// The meaning of a function's arguments in a range of Go versions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    /// First and last minor version.
    pub(super) versions: (u32, u32),
    captures: Vec<CaptureRow>,
    /// Index in the kernel's table.
    #[serde(skip)]
    pub(super) spec: u16,
}

/// The calls of a function to probe.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calls {
    /// Functions whose calls are not probed.
    pub(super) except: Vec<String>,
}

/// Identifies calls that are never recorded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuardRow {
    /// The text of calls that must not leave the kernel.
    secret: String,
    /// The text of calls that are frequent and useless.
    noise: String,
    text: CaptureRow,
    /// The struct that contains the text as a field.
    pub(super) holder: Struct,
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

/// A capture, as written in the table.
#[derive(Clone, Copy, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum CaptureRow {
    Word { arg: u8 },
    Text { arg: u8, len_arg: u8 },
    Texts { arg: u8, len_arg: u8 },
    WordAt { arg: u8, offsets: Offsets },
    TextAt { arg: u8, offsets: Offsets },
}

/// Byte offsets of a chain of pointers; the last one leads to the value.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Offsets {
    One([u32; 1]),
    Two([u32; 2]),
    Three([u32; 3]),
}

/// The table that is compiled in; a test proves that it can be parsed.
pub(super) fn builtin() -> &'static ProbeTable {
    static TABLE: LazyLock<ProbeTable> = LazyLock::new(|| parse(TEXT).unwrap_or_default());
    &TABLE
}

fn parse(text: &str) -> Result<ProbeTable, toml::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        probe: Vec<Probe>,
    }
    let mut table = ProbeTable {
        probes: toml::from_str::<File>(text)?.probe,
        ..ProbeTable::default()
    };
    for probe in &mut table.probes {
        let guard = match &probe.guard {
            Some(row) => row.guard()?,
            None => Guard::default(),
        };
        let prefixes = probe.begins.iter().map(|it| Prefix::of(it.as_bytes()));
        table.prefixes.extend(prefixes);
        for layout in &mut probe.layouts {
            layout.spec = u16::try_from(table.specs.len()).unwrap_or(u16::MAX);
            table.specs.push(Spec {
                guard,
                ..spec(probe.level, probe.span, &layout.captures)
            });
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

impl GuardRow {
    /// Fails if the kernel side cannot read or compare the secret, because it would then record calls that must stay in the kernel.
    fn guard(&self) -> Result<Guard, toml::de::Error> {
        let text = self.text.capture();
        let guard = Guard {
            text,
            secret: Text::of(self.secret.as_bytes()),
            noise: Text::of(self.noise.as_bytes()),
        };
        let is_readable = matches!(text.op, Capture::TEXT | Capture::TEXT_AT) && text.hops == 0;
        let is_distinct = guard.noise.len > 0 && guard.noise.len != guard.secret.len;
        (is_readable && guard.secret.is_exact() && is_distinct)
            .then_some(guard)
            .ok_or_else(|| serde::de::Error::custom("the kernel side does not support this guard"))
    }
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
    /// The lowest level of detail that needs this probe; one of [`tracer_abi::level`].
    pub(super) fn level(&self) -> u32 {
        self.level.number()
    }

    /// The row for a version of Go.
    pub(super) fn layout(&self, minor: u32) -> Option<&Layout> {
        self.layouts
            .iter()
            .find(|it| (it.versions.0..=it.versions.1).contains(&minor))
    }

    /// The known versions, for messages.
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
    fn the_compiled_table_can_be_parsed() {
        let table = parse(TEXT).unwrap();
        assert!(!table.specs.is_empty() && table.specs.len() <= SPECS_MAX);
        assert!(!table.prefixes.is_empty() && table.prefixes.len() <= PREFIXES_MAX);
        for probe in &table.probes {
            for layout in &probe.layouts {
                let name = &probe.name;
                assert!(layout.versions.0 <= layout.versions.1, "{name}");
                assert!(layout.captures.len() <= CAPTURES, "{name}");
                // The kernel side gives the space of all texts to a list of them.
                let has_list = layout
                    .captures
                    .iter()
                    .any(|it| matches!(it, CaptureRow::Texts { .. }));
                assert!(!has_list || layout.captures.len() == 1, "{name}");
                // The kernel side compares a text that is an argument itself, not one behind a pointer.
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
    fn no_key_of_a_variable_leaves_the_kernel() {
        let table = parse(TEXT).unwrap();
        let keys = table.probes.iter().filter(|it| {
            use PointKind::{KeyOpen, KeySum, KeyWrite};
            matches!(it.point, KeyOpen | KeyWrite | KeySum)
        });
        for row in table.probes.iter().filter_map(|it| it.guard.as_ref()) {
            if let CaptureRow::TextAt { offsets, .. } = row.text {
                let Offsets::One([at]) = offsets else {
                    panic!("a chain")
                };
                assert_eq!(row.holder.string_at(), Some(u64::from(at)));
            }
        }
        let mut n = 0;
        for layout in keys.flat_map(|it| &it.layouts) {
            let Spec { guard, .. } = table.specs[usize::from(layout.spec)];
            assert_eq!(guard.secret, Text::of(b"getenv"));
            assert_eq!(guard.noise, Text::of(b"moduleIndex"));
            n += 1;
        }
        assert_eq!(n, 3);
        let row = |text, secret: &str| GuardRow {
            secret: secret.to_owned(),
            noise: "moduleIndex".to_owned(),
            text,
            holder: Struct::default(),
        };
        let text = CaptureRow::Text { arg: 0, len_arg: 1 };
        assert!(row(text, "getenv").guard().is_ok());
        assert!(row(text, "longer than a word").guard().is_err());
        assert!(row(CaptureRow::Word { arg: 0 }, "getenv").guard().is_err());
        let offsets = Offsets::Two([0, 16]);
        let far = CaptureRow::TextAt { arg: 0, offsets };
        assert!(row(far, "getenv").guard().is_err());
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
