//! The kernel programs of a trace: adopted from a previous agent, or loaded. Loaded programs are pinned if the
//! configuration requires it and the kernel permits it.

use std::path::Path;
use std::sync::Arc;

use super::handover::Handover;
use super::source::Pin;
use crate::bpf::pin::{self, PinDir};
use crate::bpf::{Config, Ring, SetupError, Table, Tracer, describe};

/// Loaded or adopted programs.
pub(super) struct Loaded {
    pub(super) tracer: Tracer,
    pub(super) ring: Ring,
    /// Messages about missing features. Tracing works without them.
    pub(super) notes: Vec<String>,
    /// True if a previous agent loaded the programs, whose probes are still attached.
    pub(super) is_adopted: bool,
}

impl Loaded {
    /// Adopts pinned programs if they are the programs of this gotrace; otherwise loads them. A note reports failed pinning.
    pub(super) fn start(
        config: Config,
        table: &Table<'_>,
        pin: Option<&Pin>,
    ) -> Result<Self, SetupError> {
        let mut notes = Vec::new();
        let place = pin.and_then(|pin| match PinDir::take(&pin.place) {
            Ok(place) => Some(Arc::new(place)),
            Err(error) => {
                notes.push(unpinned(&error));
                None
            }
        });
        let mut loaded = None;
        if let Some(place) = place {
            place.forget_announcement();
            match Tracer::adopt(&config, table, &place) {
                Ok(Some(adopted)) => loaded = Some((adopted, true)),
                Ok(None) => {}
                Err(error) => notes.push(format!(
                    "cannot adopt the pinned programs, loading them again: {}",
                    describe(&error)
                )),
            }
            if loaded.is_none() {
                match Tracer::load_pinned(&config, table, &place) {
                    Ok(made) => loaded = Some((made, false)),
                    Err(SetupError::Pin(error)) => notes.push(unpinned(&error)),
                    Err(error) => return Err(error),
                }
            }
        }
        let ((tracer, ring), is_adopted) = match loaded {
            Some(loaded) => loaded,
            None => (Tracer::load(&config, table)?, false),
        };
        notes.extend_from_slice(tracer.notes());
        Ok(Self {
            tracer,
            ring,
            notes,
            is_adopted,
        })
    }
}

fn unpinned(error: &pin::PinError) -> String {
    format!(
        "cannot pin the programs, so a restart of the agent will cut off running builds: {}",
        describe(error)
    )
}

/// Opens the files that belong to the pinned programs. A note reports a failure.
pub(super) fn open_handover(
    own: &Path,
    tracer: &Tracer,
    notes: &mut Vec<String>,
) -> Option<Handover> {
    match Handover::open(own, tracer.pinned_as()?) {
        Ok(handover) => Some(handover),
        Err(error) => {
            notes.push(format!(
                "cannot save the running builds for the next agent: {}: {error}",
                own.display()
            ));
            None
        }
    }
}
