//! Any events in any order, as those of the builds under way that an agent finds written down: each becomes of one build or of none,
//! none is told twice, and what is told can be written and read.
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
    let mut told = BTreeSet::new();
    for trace in traces {
        let text = serde_json::to_vec(&trace).expect("plain data");
        let again: Trace = serde_json::from_slice(&text).expect("what was written");
        assert_eq!(again, trace);
        for build in &trace.builds {
            assert!(told.insert(build.process), "told twice: {:?}", build.process);
        }
    }
});
