//! Reads any text. It is either refused or a snapshot that equals itself and survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_binary::{Snapshot, diff};

fuzz_target!(|bytes: &[u8]| {
    let Ok(snapshot) = Snapshot::read(bytes) else {
        return;
    };
    let itself = diff(&snapshot, &snapshot);
    assert!(itself.symbols.is_empty() && itself.sections.is_empty() && itself.facts.is_empty());
    if let Ok(text) = serde_json::to_vec(&snapshot) {
        assert!(Snapshot::read(&text).is_ok());
    }
});
