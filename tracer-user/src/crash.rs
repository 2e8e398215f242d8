//! Keeps secrets out of crash reports. The memory of gotrace contains text of builds that is not redacted yet. A crash therefore writes
//! no core file, and the report of a panic contains the source location but no such text.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::log;

/// Installs both protections in this process. Programs that it executes are not affected: `execve` makes them dumpable again.
pub fn keep_secrets() {
    // This prctl(2) fails only on kernels without this value. The system's setting for core files then remains.
    let _unchanged = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let has_frames = backtrace.status() == BacktraceStatus::Captured;
        let backtrace = has_frames.then(|| backtrace.to_string());
        log::write_panic(&report(panic), backtrace.as_deref());
    }));
}

fn report(panic: &PanicHookInfo<'_>) -> String {
    let location = panic
        .location()
        .map_or_else(|| "an unknown location".to_owned(), ToString::to_string);
    let message = literal(panic.payload())
        .unwrap_or("(message omitted, because it may contain text of a build)");
    format!("internal error at {location}: {message}")
}

/// The message of a panic, if it is a literal of the source. A formatted message may contain any text.
fn literal(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::panic::{UnwindSafe, catch_unwind};

    /// The message that the report would contain for this panic.
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
