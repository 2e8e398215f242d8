//! Replay: passes the events of a recording to the core. The recording already contains the results of all effects.

use std::io::BufRead;

use tracer_core::correlate::{Context, Correlator};
use tracer_core::model::Trace;
use tracer_core::recording::{Damage, Detail, OpenError, Reader, Summary};

/// The result of a replay.
#[derive(Debug)]
pub struct Replayed {
    pub trace: Trace,
    /// Lines that this version of gotrace cannot read.
    pub n_skipped: u64,
    /// The reason for an early end.
    pub damage: Option<Damage>,
}

/// Reads a recording to its end or to the first damage.
pub fn replay(input: impl BufRead) -> Result<Replayed, OpenError> {
    let mut reader = Reader::open(input)?;
    let header = reader.header();
    let mut correlator = Correlator::new(Context {
        host: header.host.clone(),
        command: header.command.clone(),
        boot_to_wall_ns: header.boot_to_wall_ns,
        cpus: header.cpus,
        phases: header.detail != Detail::Process,
        renames: header.renames,
    });
    for event in reader.by_ref() {
        let _answered_in_the_recording = correlator.apply(event);
    }
    let Summary {
        n_events: _,
        n_skipped,
        damage,
    } = reader.summary();
    Ok(Replayed {
        trace: correlator.finish(),
        n_skipped,
        damage,
    })
}
