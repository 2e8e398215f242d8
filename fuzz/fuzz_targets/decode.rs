//! Decodes any bytes from the ring into one event. The event survives a round trip unchanged and keeps only allowed variables.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_core::decode::{Decoder, PointKind};
use tracer_core::environment;
use tracer_core::event::Event;

const POINTS: [PointKind; 12] = [
    PointKind::SpanStart,
    PointKind::SpanDone,
    PointKind::Install,
    PointKind::MoveOrCopy,
    PointKind::CompilePhase,
    PointKind::LinkPhase,
    PointKind::GcStart,
    PointKind::GcEnd,
    PointKind::KeyOpen,
    PointKind::KeyWrite,
    PointKind::KeySum,
    PointKind::Fatal,
];

fuzz_target!(|bytes: &[u8]| {
    let event = Decoder::new(POINTS.to_vec(), 4096).decode(bytes);
    let line = serde_json::to_vec(&event).expect("every event can be encoded");
    assert_eq!(
        serde_json::from_slice::<Event>(&line).expect("and read"),
        event
    );
    if let Event::Exec(exec) = &event {
        let env = exec.env.get().map(Vec::as_slice).unwrap_or_default();
        assert!(env.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(
            env.iter()
                .all(|(name, _)| environment::is_allowed(name.as_bytes()))
        );
    }
});
