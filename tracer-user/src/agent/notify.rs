//! Notifications for the service manager, in the protocol of `sd_notify`(3). Without a service manager, nothing is sent.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket of the service manager.
pub(super) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service is ready.
pub(super) const READY: &str = "READY=1";
/// The service is alive.
pub(super) const WATCHDOG: &str = "WATCHDOG=1";
/// The service is shutting down.
pub(super) const STOPPING: &str = "STOPPING=1";

/// True if the service manager restarts this process when [`WATCHDOG`] is missing.
pub(super) fn has_watchdog() -> bool {
    let number = |name| {
        let value = env::var(name).ok();
        value.and_then(|it| it.parse::<u64>().ok())
    };
    is_watched(
        number("WATCHDOG_USEC"),
        number("WATCHDOG_PID"),
        std::process::id(),
    )
}

/// The rules of `sd_watchdog_enabled`(3). Without an ID, the watchdog is for the main process.
fn is_watched(interval: Option<u64>, watched: Option<u64>, own: u32) -> bool {
    interval.is_some_and(|it| it > 0) && watched.is_none_or(|it| it == u64::from(own))
}

/// Sends a notification. Fails if there is a service manager and it cannot be reached.
pub(super) fn notify(message: &str) -> io::Result<()> {
    let Some(socket) = env::var_os(VARIABLE) else {
        return Ok(());
    };
    send(socket.as_bytes(), message)
}

fn send(socket: &[u8], message: &str) -> io::Result<()> {
    let address = match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not block gotrace.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(by: &UnixDatagram) -> String {
        let mut room = [0; 64];
        by.set_nonblocking(true).unwrap();
        let n = by.recv(&mut room).unwrap();
        String::from_utf8_lossy(&room[..n]).into_owned()
    }

    #[test]
    fn a_manager_is_notified_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let by_path = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), READY).unwrap();
        assert_eq!(received(&by_path), "READY=1");

        let name = format!("gotrace-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstracted = UnixDatagram::bind_addr(&address).unwrap();
        send(format!("@{name}").as_bytes(), STOPPING).unwrap();
        assert_eq!(received(&abstracted), "STOPPING=1");
    }

    #[test]
    fn only_the_watched_process_has_a_watchdog() {
        assert!(is_watched(Some(30_000_000), Some(7), 7));
        assert!(is_watched(Some(30_000_000), None, 7));
        assert!(!is_watched(Some(30_000_000), Some(8), 7));
        assert!(!is_watched(Some(0), Some(7), 7));
        assert!(!is_watched(None, None, 7));
    }

    #[test]
    fn a_manager_that_is_gone_is_an_error() {
        assert!(send(b"/nonexistent/socket", READY).is_err());
    }
}
