//! Keeps secrets out of crashes. The memory of gotrace contains text of builds that is not redacted yet. So a crash writes no core file.
//! The report of a panic names the location in the source, but quotes no such text.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Sets this up for the process. Programs that it executes are not affected: `execve` makes them dumpable again.
pub fn keep_secrets() {
    // prctl(2) fails here only for a value that it does not know. Then core files stay as the system has them.
    let _unchanged = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    std::panic::set_hook(Box::new(|panic| {
        // Nothing else can be done if stderr is closed.
        let _unwritten = writeln!(io::stderr(), "{}", report(panic));
    }));
}

fn report(panic: &PanicHookInfo<'_>) -> String {
    let place = panic
        .location()
        .map_or_else(|| "a place not known".to_owned(), ToString::to_string);
    let message =
        literal(panic.payload()).unwrap_or("(message omitted, as it may quote text of a build)");
    let mut report = format!("gotrace: internal error at {place}: {message}");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        report.push('\n');
        report.push_str(&backtrace.to_string());
    }
    report
}

/// The message of a panic if it is a literal of the source. A formatted message may quote anything.
fn literal(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::panic::{UnwindSafe, catch_unwind};

    /// The message that the report quotes if this panics.
    fn quoted(panics: impl FnOnce() + UnwindSafe) -> Option<&'static str> {
        let payload = catch_unwind(panics).unwrap_err();
        literal(&*payload)
    }

    #[test]
    fn only_literal_messages_are_quoted() {
        let text = || black_box("hunter2");
        assert_eq!(quoted(|| panic!("no room")), Some("no room"));
        assert_eq!(quoted(|| panic!("{} has no room", text())), None);
        assert_eq!(quoted(|| assert!(text().split_at(10).0.is_empty())), None);
        assert_eq!(quoted(|| assert!(text().parse::<u8>().unwrap() > 0)), None);
    }
}
