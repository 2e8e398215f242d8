//! The agent: every build on the machine, counted, kept in the history, and served.
//!
//! It is two processes of different power. The *watcher* ([`watch`]) is the one that was started: it has what it takes to load programs
//! into the kernel and to look into other processes, and follows builds. The *keeper* ([`keep`]) is its child and has given up all of
//! that: the history, the pages, the metrics and whatever is sent are its. Between them is a pair of sockets and what `pipe` lets
//! through. Outputs are read by children of the watcher that have less than either (`inspect`).

mod backlog;
mod begin;
mod config;
pub mod export;
pub mod http;
mod keeper;
pub mod metrics;
mod minder;
mod notify;
mod pipe;
mod watch;

use std::time::Duration;

pub use self::config::{Central, Config};
pub use self::keeper::{WORD as KEEPER_WORD, keep};
pub use self::watch::watch;
use crate::config::File;

/// How long all has that is done at the end: whoever asked for it waits five seconds.
const END: Duration = Duration::from_millis(4500);
/// How long nothing was built before memory is given back.
const REST: Duration = Duration::from_secs(10);

/// Makes a configuration of a file, with what was said elsewhere.
type Load<'a> = &'a dyn Fn(&File) -> anyhow::Result<Config>;
