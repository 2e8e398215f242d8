//! Properties of all formats.

use serde_json::Value;
use tracer_core::finished::FinishedTrace;
use tracer_core::model::Trace;

use super::*;

/// Paths to all numbers in a value.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, it)| numbers(it, &format!("{path}/{n}"), found)),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, it)| numbers(it, &format!("{path}/{name}"), found)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn no_number_breaks_a_sink() {
    let mut n_traces = 0;
    for trace in [sample::failed(), sample::broken()] {
        let whole = serde_json::to_value(&trace).unwrap();
        let mut paths = Vec::new();
        numbers(&whole, "", &mut paths);
        for path in paths {
            for extreme in [0, u64::from(u32::MAX), u64::MAX] {
                let mut changed = whole.clone();
                *changed.pointer_mut(&path).unwrap() = extreme.into();
                // Some numbers are too large for their field.
                let Ok(trace) = serde_json::from_value::<Trace>(changed) else {
                    continue;
                };
                let cost = Cost {
                    gotrace_cpu_ns: extreme,
                    events: extreme,
                    attach_ns: extreme,
                };
                text(
                    &FinishedTrace::of(trace.clone()),
                    Facts {
                        cost: Some(&cost),
                        ..Facts::default()
                    },
                    &Style::plain(100),
                    &mut Vec::new(),
                )
                .unwrap();
                let finished = FinishedTrace::of(trace.clone());
                json(&finished, Layout::Line, &mut Vec::new()).unwrap();
                metrics(&FinishedTrace::of(trace.clone())).unwrap();
                n_traces += 1;
            }
        }
    }
    assert!(n_traces > 300, "{n_traces}");
}
