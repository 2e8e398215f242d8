//! Turns the hook of `rename` on when a traced command starts, and off when no build has run for a while.
//!
//! On some kernels the hook makes each system call of each process slower (`bpf/rename.rs`); on others nothing is to be turned on or
//! off. If a program started long before the hook was attached, the absence of a rename means nothing in its session. A `go` command
//! renames an output after it has run a compiler or linker. If such a tool started before the hook was attached, a rename counts as lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracer_abi::Kind;
use tracer_core::byte_string::ByteString;
use tracer_core::event::{Event, Ktime};

use crate::bpf::{Tracer, TracerError, describe};
use crate::clock;

/// Time without a session until the hook is turned off. Builds in a series need no new hook each.
const LINGER: Duration = Duration::from_secs(5);
/// A hook that is attached this soon after an exec misses no rename. No `go` command loads its packages, and no compiler or linker
/// writes its output, in this time (`docs/kernel-facts.md`).
const GRACE_NS: u64 = 10_000_000;

/// The state of the hook.
pub(super) struct RenameWatch {
    /// True if renames can be observed on this machine.
    is_available: bool,
    /// Start of the observation; `None` while the hook is off.
    since: Option<Ktime>,
    /// Start of the time without sessions.
    idle_since: Option<Instant>,
    /// True if a program has started since the hook was last turned off.
    is_used: bool,
    /// Number of times that the hook may have been attached after a rename.
    n_missed: u64,
    /// True if the last attachment is counted in that number.
    is_counted: bool,
    failure: Option<String>,
    /// A message for the operator, until it is taken.
    news: Option<String>,
}

impl RenameWatch {
    /// `reported` contains the lost records of each kind that a previous agent reported. The kernel's counters do not
    /// contain those of this module.
    pub(super) fn new(tracer: &Tracer, reported: &BTreeMap<u16, u64>) -> Self {
        let reported = reported.get(&Kind::RENAME.0).copied().unwrap_or(0);
        let tallies = tracer.tallies().unwrap_or_default();
        let of_kernel = tallies.iter().find(|(kind, _)| *kind == Kind::RENAME);
        let of_kernel = of_kernel.map_or(0, |(_, it)| it.lost);
        Self {
            is_available: tracer.has_renames(),
            since: tracer.is_rename_attached().then_some(Ktime(0)),
            idle_since: None,
            is_used: false,
            n_missed: reported.saturating_sub(of_kernel),
            is_counted: false,
            failure: None,
            news: None,
        }
    }

    /// Turns the hook on if this event is the start of a program. Returns true if no rename of the program can have been missed.
    pub(super) fn begin(&mut self, tracer: &mut Tracer, event: &Event) -> bool {
        let Event::Exec(exec) = event else {
            return true;
        };
        self.is_used = true;
        self.idle_since = None;
        if self.since.is_none() && self.is_available {
            let attached = tracer.attach_rename();
            self.note(attached, clock::boot());
        }
        let is_in_time = !self.is_available || is_in_time(self.since, exec.at);
        if !is_in_time && !self.is_counted && may_make_output(exec.exe.get(), exec.argv.get()) {
            self.n_missed += 1;
            self.is_counted = true;
        }
        is_in_time
    }

    fn note(&mut self, attached: Result<(), TracerError>, now: Ktime) {
        match attached {
            Ok(()) => {
                self.since = Some(now);
                self.is_counted = false;
                if self.failure.take().is_some() {
                    self.news = Some("renames are observed again".to_owned());
                }
            }
            Err(error) => {
                let failure = describe(&error);
                if self.failure.as_ref() != Some(&failure) {
                    self.news = Some(format!(
                        "renames are not observed, so output paths come from probes alone: {failure}"
                    ));
                    self.failure = Some(failure);
                }
            }
        }
    }

    /// Number of renames to count as lost, at least one for each time that some may have been missed.
    pub(super) fn n_missed(&self) -> u64 {
        self.n_missed
    }

    /// Turns the hook off after some time without sessions.
    pub(super) fn rest(&mut self, tracer: &mut Tracer, n_sessions: usize, now: Instant) {
        if n_sessions > 0 {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now);
        let is_over = !self.is_used || now.duration_since(since) >= LINGER;
        if is_over && self.since.is_some() && tracer.detach_rename() {
            self.since = None;
            self.is_used = false;
        }
    }

    /// A change to report to the operator.
    pub(super) fn take_news(&mut self) -> Option<String> {
        self.news.take()
    }
}

/// `since` is the start of the observation, and `exec` the start of a program.
fn is_in_time(since: Option<Ktime>, exec: Ktime) -> bool {
    since.is_some_and(|it| it.0 <= exec.0.saturating_add(GRACE_NS))
}

/// False for the `go` command, and for a tool that prints its version, with which every build begins. Any other program may be a compiler,
/// a linker or a wrapper of one.
fn may_make_output(exe: Option<&ByteString>, argv: Option<&Vec<ByteString>>) -> bool {
    let is_go = |path: &ByteString| path.as_bytes().rsplit(|it| *it == b'/').next() == Some(b"go");
    let is_query = |argv: &Vec<ByteString>| argv.iter().any(|it| it.as_bytes() == b"-V=full");
    !exe.is_some_and(is_go) && !argv.is_some_and(is_query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tool_at_work_comes_before_a_rename() {
        let may_make_output = |exe: &str, argv: &[&str]| {
            let argv: Vec<ByteString> = argv.iter().map(|it| ByteString::from(*it)).collect();
            may_make_output(Some(&ByteString::from(exe)), Some(&argv))
        };
        assert!(may_make_output("/go/pkg/tool/link", &["link", "-o", "out"]));
        assert!(!may_make_output("/go/pkg/tool/link", &["link", "-V=full"]));
        assert!(!may_make_output("/go/bin/go", &["go", "build"]));
        assert!(super::may_make_output(None, None));
    }

    #[test]
    fn a_program_that_ran_long_before_the_hook_may_have_renamed_unseen() {
        assert!(is_in_time(Some(Ktime(0)), Ktime(5)));
        assert!(is_in_time(Some(Ktime(5 + GRACE_NS)), Ktime(5)));
        assert!(!is_in_time(Some(Ktime(6 + GRACE_NS)), Ktime(5)));
        assert!(!is_in_time(None, Ktime(5)));
    }
}
