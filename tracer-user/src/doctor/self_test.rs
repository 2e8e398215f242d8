//! Traces the command `true`, to check that the loaded programs deliver records.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use tracer_core::decode::Decoder;
use tracer_core::event::{Event, ProcKey};

use super::error_chain;
use crate::bpf::{Ring, Tracer};
use crate::launch::Plan;
use crate::{proc, toolchain};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two reads of the ring. Most records do not wake the reader.
const POLL: Duration = Duration::from_millis(10);

/// Runs `true` under the tracer. The error names the missing records.
pub(super) fn trace_true(tracer: &mut Tracer, mut ring: Ring) -> Result<(), String> {
    let plan = Plan::new(OsStr::new("true"), &[], None).map_err(|error| error_chain(&error))?;
    let held = plan.hold().map_err(|error| error_chain(&error))?;
    let tgid = held.tgid();
    tracer
        .follow(tgid.0)
        .map_err(|error| format!("cannot follow a process: {}", error_chain(&error)))?;
    let running = held.release().map_err(|error| error_chain(&error))?;
    let status = running
        .wait()
        .map_err(|error| format!("cannot wait for the command: {error}"))?;
    let mut decoder = Decoder::new(toolchain::points().to_vec(), proc::page_size());
    let (mut n_execs, mut n_exits) = (0, 0);
    let start = Instant::now();
    while (n_execs == 0 || n_exits == 0) && start.elapsed() < TIMEOUT {
        ring.drain(|record| {
            let is_it = |process: ProcKey| process.tgid == tgid;
            match decoder.decode(record) {
                Event::Exec(exec) => n_execs += u32::from(is_it(exec.process)),
                Event::Exit(exit) => {
                    n_exits += u32::from(is_it(exit.process) && exit.status == status);
                }
                Event::Fork(_)
                | Event::Reaped(_)
                | Event::Rename(_)
                | Event::Call(_)
                | Event::Lineage(_)
                | Event::Tool(_)
                | Event::Settings(_)
                | Event::ResponseFile(_)
                | Event::Inspected(_)
                | Event::CheckedOut(_)
                | Event::BuildInfo(_)
                | Event::Lost(_)
                | Event::Unreadable(_) => {}
            }
        });
        // Errors of the wait are ignored, because the deadline ends the loop.
        let _woken = ring.wait(Some(POLL));
    }
    match (n_execs, n_exits) {
        (1, 1) => Ok(()),
        (n_execs, n_exits) => Err(format!(
            "ran a command, but observed {n_execs} of its 1 execs and {n_exits} of its 1 exits"
        )),
    }
}
