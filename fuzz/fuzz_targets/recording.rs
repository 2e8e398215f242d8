//! Reads any file as a recording: none, or one that is valid up to some line. The events are then written and read again unchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_core::recording::{Reader, Writer};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::open(bytes) else {
        return;
    };
    let header = reader.header().clone();
    let events: Vec<_> = reader.by_ref().collect();
    assert_eq!(reader.summary().n_events, events.len() as u64);

    let mut writer = Writer::new(Vec::new(), &header).expect("memory can be written to");
    for event in &events {
        writer.event(event).expect("memory can be written to");
    }
    let again = writer.finish().expect("memory can be written to");
    let mut reader = Reader::open(again.as_slice()).expect("the written recording opens");
    assert_eq!(reader.header(), &header);
    assert_eq!(reader.by_ref().collect::<Vec<_>>(), events);
    assert!(reader.summary().damage.is_none());
});
