//! The summary of each sample at two widths, and properties of all summaries.

use expect_test::expect_file;
use tracer_core::model::Installed;

use super::*;
use crate::render::sample;
use crate::render::style::width;

const COST: Cost = Cost {
    gotrace_cpu_ns: 131_000_000,
    events: 4191,
    attach_ns: 84_000_000,
};

fn written(trace: &Trace, style: &Style) -> String {
    let mut out = Vec::new();
    text(
        &FinishedTrace::of(trace.clone()),
        Facts {
            cost: Some(&COST),
            ..Facts::default()
        },
        style,
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

fn check(name: &str, style: &Style) {
    let (_, trace) = sample::all().into_iter().find(|it| it.0 == name).unwrap();
    let colour = if style.colour { "-colour" } else { "" };
    let glyphs = if style.unicode { "" } else { "-ascii" };
    let file = format!(
        "{}/src/render/golden/{name}-{}{colour}{glyphs}.txt",
        env!("CARGO_MANIFEST_DIR"),
        style.width
    );
    expect_file![file].assert_eq(&written(&trace, style));
}

#[test]
fn samples_look_as_they_should_at_100_columns() {
    for (name, _) in sample::all() {
        check(name, &Style::plain(100));
    }
}

#[test]
fn samples_look_as_they_should_at_60_columns() {
    for (name, _) in sample::all() {
        check(name, &Style::plain(60));
    }
}

#[test]
fn colour_and_plain_glyphs() {
    check(
        "cold",
        &Style {
            colour: true,
            ..Style::plain(100)
        },
    );
    check(
        "failed",
        &Style {
            colour: true,
            ..Style::plain(60)
        },
    );
    check(
        "failed",
        &Style {
            unicode: false,
            ..Style::plain(100)
        },
    );
}

#[test]
fn no_line_is_wider_than_the_terminal_and_a_build_fits_a_screen() {
    for (name, trace) in sample::all() {
        for columns in [60, 72, 80, 100, 132, 160] {
            let text = written(&trace, &Style::plain(columns));
            for line in text.lines() {
                assert!(width(line) <= columns, "{name} at {columns}: {line}");
            }
            let limit = if columns < 100 || name == "broken" {
                50
            } else {
                40
            };
            assert!(
                text.lines().count() <= limit,
                "{name} at {columns} takes {} lines",
                text.lines().count()
            );
        }
    }
}

#[test]
fn colour_changes_only_the_colours() {
    for (name, trace) in sample::all() {
        let coloured = written(
            &trace,
            &Style {
                colour: true,
                ..Style::plain(100)
            },
        );
        let mut stripped = String::new();
        let mut is_code = false;
        for character in coloured.chars() {
            match character {
                '\u{1b}' => is_code = true,
                'm' if is_code => is_code = false,
                _ if is_code => {}
                _ => stripped.push(character),
            }
        }
        assert_eq!(stripped, written(&trace, &Style::plain(100)), "{name}");
    }
}

#[test]
fn a_build_cannot_write_to_the_terminal() {
    let text = written(&sample::broken(), &Style::plain(100));
    assert!(
        !text.chars().any(|it| it.is_control() && it != '\n'),
        "{text}"
    );
    assert!(!text.contains('\u{202e}'));
    assert!(text.contains(r"evil\u{1b}[2J"));
}

#[test]
fn nothing_to_do_takes_three_lines() {
    assert!(
        written(&sample::up_to_date(), &Style::plain(100))
            .lines()
            .count()
            <= 3
    );
}

fn with_outputs(mut trace: Trace, outputs: &[(&str, u64, Installed)]) -> Trace {
    let like = trace.builds[0].outputs[0].clone();
    let output = |&(name, size, how): &(&str, u64, Installed)| {
        let mut output = like.clone();
        (output.path, output.how) = (format!("/home/build/hello/bin/{name}").as_str().into(), how);
        output.artifact.as_mut().unwrap().size = size;
        output
    };
    trace.builds[0].outputs = outputs.iter().map(output).collect();
    trace
}

#[test]
fn written_outputs_come_by_size_and_up_to_date_ones_are_counted() {
    let outputs = [
        ("old", 9_000_000, Installed::UpToDate),
        ("small", 1_000_000, Installed::Renamed),
        ("large", 8_000_000, Installed::Copied),
        ("older", 7_000_000, Installed::UpToDate),
    ];
    let text = written(&with_outputs(sample::cold(), &outputs), &Style::plain(100));
    let at = |name: &str| text.find(name).unwrap();
    assert!(at("bin/large") < at("bin/small"), "{text}");
    assert!(at("bin/small") < at("and 2 up to date"), "{text}");
    assert!(!text.contains("bin/old"), "{text}");
}

#[test]
fn many_outputs_leave_toolchain_and_flags_of_a_build_without_work() {
    let name = |n: u32| format!("a-program-with-a-long-name-{n}");
    let names: Vec<String> = (0..30).map(name).collect();
    let outputs: Vec<_> = names
        .iter()
        .map(|it| (it.as_str(), 1, Installed::UpToDate))
        .collect();
    let trace = with_outputs(sample::up_to_date(), &outputs);
    for columns in [60, 100] {
        let text = written(&trace, &Style::plain(columns));
        assert!(text.contains("go1.27.3 linux/amd64"), "{text}");
        assert!(text.contains("GOFLAGS not set"), "{text}");
        assert!(text.contains("a-program-with-a-long-name"), "{text}");
    }
}

#[test]
fn a_test_variant_keeps_the_ends_of_its_names() {
    let mut trace = sample::cold();
    let deep = "example.com/an/import/path/that/fills/the/column/of/packages/completely/store";
    let variant = format!("{deep} [{deep}.test]");
    for call in &mut trace.builds[0].calls {
        if call
            .package
            .as_ref()
            .is_some_and(|it| it.to_str() == "runtime")
        {
            call.package = Some(variant.as_str().into());
        }
    }
    let text = written(&trace, &Style::plain(60));
    assert!(text.contains("/store [store.test]"), "{text}");
}

#[test]
fn losses_without_an_anomaly_are_reported() {
    let mut trace = sample::cold();
    trace.events.lost = 9;
    let text = written(&trace, &Style::plain(100));
    assert!(text.contains("9 events were lost"), "{text}");
    assert!(!text.contains("none lost"), "{text}");
}
