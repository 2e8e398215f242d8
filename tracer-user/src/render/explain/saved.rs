//! The CPU time that the build cache saved, and the verdict on restoring it.

use tracer_core::explain::{CacheRestore, CacheUse, Saved, Verdict};

use crate::render::style::{Line, Page};
use crate::render::units;

/// CPU time that the build cache saved, and the verdict on restoring it.
pub(super) fn put_saved(page: &mut Page<'_>, saved: &Saved, restore: Option<CacheRestore>) {
    if saved.n_known == 0 && restore.is_none() {
        return;
    }
    page.gap();
    let by = saved.by.as_ref();
    let by = by.map_or_else(String::new, |it| format!(", most in {it}"));
    let text = format!(
        "The build cache saved {} of CPU: {} of {} ran in an earlier build{by}",
        units::span(saved.cpu_ns),
        units::count(saved.n_known),
        units::counted(saved.n_cached, "cached action", "cached actions"),
    );
    page.sentence(Line::plain("  "), &text, 4);
    let Some(restore) = restore else {
        return;
    };
    let (least, most) = (restore.at_least_ns, restore.at_most_ns);
    let took = units::span(restore.restore_ns);
    let bounds = format!("{} to {}", units::span(least), units::span(most));
    let text = match restore.verdict {
        Verdict::Pays => format!("Restoring it pays: it took {took} and saved {bounds}."),
        Verdict::DoesNotPay => {
            format!("Restoring it does not pay: it took {took} and saved {bounds}.")
        }
        Verdict::WrongKey => format!(
            "It was the cache of another state: restoring it took {took}, and the build used few entries. Choose a nearer key."
        ),
        Verdict::Close => format!(
            "Restoring it may pay: it took {took} and saved {bounds}, which depends on the use of the CPUs."
        ),
        Verdict::Unknown => format!(
            "Restoring it may pay: it took {took} and saved at least {}. Some cached actions have no earlier run in the history.",
            units::span(least)
        ),
    };
    page.sentence(Line::plain("  "), &text, 4);
    if let Some(used) = &restore.used {
        page.sentence(Line::plain("  "), &use_of(used), 4);
    }
}

/// `Of 4,000 entries that the cache had before, the build used 210, and the use of 30 is not known.`
fn use_of(used: &CacheUse) -> String {
    let entries = units::counted(used.n_all(), "entry", "entries");
    let unknown = match used.n_unknown {
        0 => String::new(),
        n => format!(", and the use of {} is not known", units::count(n)),
    };
    let rest = if used.is_whole {
        "."
    } else {
        ". The cache has more entries than gotrace reads."
    };
    let n_used = units::count(used.n_used);
    format!("Of {entries} that the cache had before, the build used {n_used}{unknown}{rest}")
}
