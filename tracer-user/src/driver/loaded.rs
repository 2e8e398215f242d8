//! The kernel programs of a trace: found where another left them pinned, or loaded, pinned where that is wanted and possible.

use std::path::Path;
use std::sync::Arc;

use super::handover::Handover;
use super::source::Pin;
use crate::bpf::pin::{self, PinDir};
use crate::bpf::{Config, Ring, SetupError, Table, Tracer, describe};

/// What was loaded, or was found loaded.
pub(super) struct Loaded {
    pub(super) tracer: Tracer,
    pub(super) ring: Ring,
    /// What is missing though tracing works.
    pub(super) notes: Vec<String>,
    /// Another loaded it, and its probes are still on.
    pub(super) is_adopted: bool,
}

impl Loaded {
    /// What another left on goes on, if it is of this gotrace's programs; else they are loaded. Where nothing can be pinned, a note says so.
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
                    "what is pinned is of no use and is made anew: {}",
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
        "a restart will cut off the builds that are under way: {}",
        describe(error)
    )
}

/// What was written down with what is pinned; a note if that cannot be.
pub(super) fn open_handover(
    own: &Path,
    tracer: &Tracer,
    notes: &mut Vec<String>,
) -> Option<Handover> {
    match Handover::open(own, tracer.pinned_as()?) {
        Ok(handover) => Some(handover),
        Err(error) => {
            notes.push(format!(
                "the next agent will not know what this one knew: {}: {error}",
                own.display()
            ));
            None
        }
    }
}
