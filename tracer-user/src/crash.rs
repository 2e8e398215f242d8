//! What a crash of gotrace leaves behind: where it happened, and nothing of what the process held. Its memory has text of builds that no
//! secret was taken out of yet.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// From here on this process writes no core file, and a panic says no text of a build. What it starts is not affected.
pub fn keep_secrets() {
    // Fails on no kernel that gotrace runs on; without it the core file is as private as the system makes it.
    let _as_before = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    std::panic::set_hook(Box::new(|panic| {
        // Where nobody can read it there is nobody else to tell.
        let _unread = writeln!(io::stderr(), "{}", report(panic));
    }));
}

fn report(panic: &PanicHookInfo<'_>) -> String {
    let place = panic
        .location()
        .map_or_else(|| "a place not known".to_owned(), ToString::to_string);
    let message = literal(panic.payload())
        .unwrap_or("(the message is left out, as it may quote what a build said)");
    let mut report = format!("gotrace: internal error at {place}: {message}");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        report.push('\n');
        report.push_str(&backtrace.to_string());
    }
    report
}

/// The message of a panic if it stands in the source like that. One that is put together may hold anything.
fn literal(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::panic::{UnwindSafe, catch_unwind};

    /// What a panic says, made here as the standard library makes it.
    fn said(panics: impl FnOnce() + UnwindSafe) -> Option<&'static str> {
        let payload = catch_unwind(panics).unwrap_err();
        literal(&*payload)
    }

    #[test]
    fn a_panic_says_what_stands_in_the_source_alone() {
        let text = || black_box("hunter2");
        assert_eq!(said(|| panic!("no room")), Some("no room"));
        assert_eq!(said(|| panic!("{} has no room", text())), None);
        assert_eq!(said(|| assert!(text().split_at(10).0.is_empty())), None);
        assert_eq!(said(|| assert!(text().parse::<u8>().unwrap() > 0)), None);
    }
}
