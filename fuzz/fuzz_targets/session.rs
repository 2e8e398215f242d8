//! Applies any events in any order, such as those that an agent reads from its journal at startup. Each event belongs to at most
//! one build. No build is reported twice, and each report survives a round trip.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use tracer_core::correlate::Context;
use tracer_core::event::Ktime;
use tracer_core::model::Trace;
use tracer_core::recording::{Detail, Reader};
use tracer_core::sessions::Sessions;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::open(bytes) else {
        return;
    };
    let header = reader.header();
    let mut sessions = Sessions::new(Context {
        host: None,
        command: header.command.clone(),
        boot_to_wall_ns: header.boot_to_wall_ns,
        cpus: header.cpus,
        phases: header.detail != Detail::Process,
        renames: header.renames,
    });
    let mut traces = Vec::new();
    for event in reader.by_ref() {
        let _scope = sessions.scope(&event);
        let _asked = sessions.apply(event);
        let _begun = sessions.begun();
        traces.extend(sessions.ended(Ktime(0)));
    }
    traces.extend(sessions.ended(Ktime(u64::MAX)));
    traces.extend(sessions.finish());
    let mut reported = BTreeSet::new();
    for trace in traces {
        let text = serde_json::to_vec(&trace).expect("plain data");
        let again: Trace = serde_json::from_slice(&text).expect("the encoded trace decodes");
        assert_eq!(again, trace);
        for build in &trace.builds {
            assert!(reported.insert(build.process), "reported twice: {:?}", build.process);
        }
    }
});
