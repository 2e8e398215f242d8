//! The agent: traces, counts, stores and serves every build on the machine.
//!
//! The agent consists of two processes. The *observer* ([`observe`]) has the privileges to load kernel programs and to
//! inspect other processes; it traces builds. The *storage process* ([`run_storage`]) is its child and has dropped these
//! privileges; it owns the history, the pages, the metrics and the exports. The two exchange the messages of `ipc` over
//! a socket pair. Children of the observer with even fewer privileges read the outputs (`inspect`).

mod backlog;
mod config;
pub mod export;
pub mod http;
mod ipc;
pub mod local;
pub mod metrics;
mod notify;
mod observer;
mod startup;
mod storage;
mod supervisor;

use std::time::Duration;

pub use self::config::{Central, Config, defaults};
pub use self::observer::observe;
pub use self::storage::{COMMAND as STORAGE_COMMAND, run_storage};
use crate::config::File;

/// Time for all work at shutdown. Service managers wait five seconds.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(4500);
/// Time without builds after which a process returns memory to the kernel.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// The observer reports about once a second. After this time without a report it hangs; systemd restarts the service then (`WatchdogSec`).
const OBSERVER_TIMEOUT: Duration = Duration::from_mins(1);

/// Combines a configuration file with flags and environment.
type Load<'a> = &'a dyn Fn(&File) -> anyhow::Result<Config>;
