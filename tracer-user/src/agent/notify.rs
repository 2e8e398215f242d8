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
/// The service is shutting down.
pub(super) const STOPPING: &str = "STOPPING=1";

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
    fn a_manager_that_is_gone_is_an_error() {
        assert!(send(b"/nonexistent/socket", READY).is_err());
    }
}
