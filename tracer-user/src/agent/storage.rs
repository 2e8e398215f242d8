//! The storage process: the unprivileged child of the observer that stores, serves and sends builds.
//!
//! The process first drops its privileges. It then executes the requests on its standard input and responds there. It
//! ends on request, or when the observer has closed the connection. Signals do not end it: terminals and service
//! managers signal both processes, and builds that the observer has yet to send would be lost.

mod finish;
mod open;
mod service;
mod stats;

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::io::Errno;

use self::service::StorageService;
use super::ipc::{Frames, REQUEST_LIMIT, RESPONSE_LIMIT, Request, Response, encode};
use super::{Load, SHUTDOWN_LIMIT};
use crate::clock;
use crate::launch::signal::Signals;
use crate::log::Log;
use crate::sandbox;

/// The hidden command of the storage process. Only the observer can use it.
pub const COMMAND: &str = "storage-process";
/// Seconds to end after the observer is gone. The observer would otherwise enforce the limit.
const DRAIN_LIMIT_SECONDS: libc::c_uint = 6;
/// Title of the process in `ps` and `top`. The kernel would use the name of the executed descriptor, such as `4`.
/// At most 15 bytes (`TASK_COMM_LEN`).
const TITLE: &CStr = c"gotrace-storage";
/// Size of the read buffer.
const CHUNK: usize = 64 << 10;

/// Runs the storage process. `load` combines the file that the observer read with flags and environment. `log` receives
/// messages for the operator. Returns true if the process failed; the observer receives the reason.
pub fn run_storage(load: Load<'_>, log: &Log) -> bool {
    // Without the title, the process works as well.
    let _untitled = rustix::thread::set_name(TITLE);
    let sandbox =
        sandbox::drop_privileges().context("cannot drop the privileges of the storage process");
    let mut connection = match ObserverConnection::from_stdin() {
        Ok(connection) => connection,
        Err(error) => {
            log.error(format_args!(
                "only gotrace agent can run this command: {error}"
            ));
            return true;
        }
    };
    let served = sandbox.and_then(|_| serve(&mut connection, load, log));
    let Err(error) = served else {
        return false;
    };
    let sentence = format!("{error:#}");
    let sent = connection.respond(&Response::Failed {
        sentence: sentence.clone(),
    });
    if sent.is_err() {
        log.error(&sentence);
    }
    true
}

fn serve(connection: &mut ObserverConnection, load: Load<'_>, log: &Log) -> anyhow::Result<()> {
    // The signals are blocked and never read, and thus have no effect.
    let _signals = Signals::take()?;
    let Some(Request::Begin { again, file }) = connection.next()? else {
        return Ok(());
    };
    let mut service = StorageService::open(load, &file, again, log)?;
    let detail = service.detail();
    connection.respond(&Response::Opened { detail })?;
    let mut is_following = false;
    let end = loop {
        match connection.next()? {
            Some(Request::Follow { n_probes }) => {
                service.follow(n_probes)?;
                connection.respond(&Response::Following)?;
                is_following = true;
            }
            Some(Request::Begun(entry)) => service.begun(*entry),
            Some(Request::Ended { n, is_known, trace }) => service.ended(n, is_known, *trace),
            Some(Request::Status(status)) => {
                if let Some(up_to) = service.status(&status)? {
                    connection.respond(&Response::Stored { up_to })?;
                }
            }
            Some(Request::Reload { file }) => {
                if service.reload(file) {
                    let (detail, log) = (service.detail(), service.log_config());
                    connection.respond(&Response::Reloaded { detail, log })?;
                }
            }
            Some(Request::End {
                until_ns,
                n_dropped,
            }) => {
                let left = Duration::from_nanos(until_ns.saturating_sub(clock::boot_ns()));
                break Some((left.min(SHUTDOWN_LIMIT), n_dropped));
            }
            Some(Request::Begin { .. }) => {}
            None => break None,
        }
    };
    match end {
        Some((left, n_dropped)) => service.finish(Instant::now() + left, n_dropped),
        None if is_following => {
            // SAFETY: alarm accesses no memory. Nothing handles SIGALRM, so the signal ends the process.
            unsafe { libc::alarm(DRAIN_LIMIT_SECONDS) };
            log.warn("the observer has ended unexpectedly: storing the builds that it sent");
            service.finish(Instant::now() + SHUTDOWN_LIMIT, 0)
        }
        // The observer failed to start, and has logged the reason.
        None => Ok(()),
    }
}

/// The connection to the observer.
struct ObserverConnection {
    socket: OwnedFd,
    requests: Frames,
    buffer: Vec<u8>,
}

impl ObserverConnection {
    fn from_stdin() -> io::Result<Self> {
        let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        if !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode).is_socket() {
            return Err(io::Error::other("its standard input is not a socket"));
        }
        Ok(Self {
            socket,
            requests: Frames::new(REQUEST_LIMIT),
            buffer: vec![0; CHUNK],
        })
    }

    /// Waits for the next request. `None` if the observer has closed the connection.
    fn next(&mut self) -> anyhow::Result<Option<Request>> {
        loop {
            let request = self.requests.next();
            if let Some(request) = request.context("cannot read a request of the observer")? {
                return Ok(Some(request));
            }
            match rustix::io::read(&self.socket, &mut self.buffer) {
                Ok(0) | Err(Errno::CONNRESET) => return Ok(None),
                Ok(n) => self.requests.feed(self.buffer.get(..n).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sends a response. An observer that is gone is detected by the next read.
    fn respond(&self, response: &Response) -> io::Result<()> {
        let frame = encode(response, RESPONSE_LIMIT).map_err(io::Error::other)?;
        let mut rest = &frame[..];
        while !rest.is_empty() {
            match rustix::io::write(&self.socket, rest) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}
