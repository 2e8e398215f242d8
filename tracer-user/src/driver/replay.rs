//! A recording instead of the kernel: the same events to the same core. What it asks for has been answered when it was recorded.

use std::io::BufRead;

use tracer_core::correlate::{Context, Correlator};
use tracer_core::model::Trace;
use tracer_core::recording::{Damage, Detail, OpenError, Reader, Summary};

/// What a recording amounts to.
#[derive(Debug)]
pub struct Replayed {
    pub trace: Trace,
    /// Lines that this version of gotrace does not know.
    pub n_skipped: u64,
    /// Why it ended early.
    pub damage: Option<Damage>,
}

/// Reads a recording to its end, or to where it is damaged.
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
