//! Word to whoever started this service and waits for it to be ready, as `sd_notify`(3) says it. Where nobody waits nothing is said.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Names the socket of a service manager.
pub(super) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service does its work.
pub(super) const READY: &str = "READY=1";
/// It has begun to end.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Says it. Fails if somebody waits who cannot be told.
pub(super) fn notify(word: &str) -> io::Result<()> {
    let Some(socket) = env::var_os(VARIABLE) else {
        return Ok(());
    };
    send(socket.as_bytes(), word)
}

fn send(socket: &[u8], word: &str) -> io::Result<()> {
    let address = match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(word.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(by: &UnixDatagram) -> String {
        let mut room = [0; 64];
        by.set_nonblocking(true).unwrap();
        let n = by.recv(&mut room).unwrap();
        String::from_utf8_lossy(&room[..n]).into_owned()
    }

    #[test]
    fn a_manager_is_told_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let by_path = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), READY).unwrap();
        assert_eq!(heard(&by_path), "READY=1");

        let name = format!("gotrace-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstracted = UnixDatagram::bind_addr(&address).unwrap();
        send(format!("@{name}").as_bytes(), STOPPING).unwrap();
        assert_eq!(heard(&abstracted), "STOPPING=1");
    }

    #[test]
    fn a_manager_that_is_gone_is_an_error() {
        assert!(send(b"/nonexistent/socket", READY).is_err());
    }
}
