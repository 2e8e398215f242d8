//! The address of the agent's pages: a port, a Unix socket, or none.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// Longest path of a Unix socket: `sun_path` of unix(7) without the final zero.
const MAX_PATH: usize = 107;

/// An address, or none. The address of a name is that of the moment of parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    None,
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The address for connections, because a socket may listen on all addresses.
    #[must_use]
    pub fn reachable(&self) -> Self {
        let Self::Tcp(address) = self else {
            return self.clone();
        };
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        Self::Tcp(SocketAddr::new(ip, address.port()))
    }
}

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::None);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(Path::new(path));
        }
        let resolved = text.to_socket_addrs();
        let addresses: Vec<SocketAddr> = resolved.map(Iterator::collect).unwrap_or_default();
        let first = addresses.iter().find(|it| it.is_ipv4());
        first.or(addresses.first()).map(|it| Self::Tcp(*it)).ok_or(
            "give an address or a known name, and a port, such as localhost:10127 or [::1]:10127, or unix:/PATH, or none",
        )
    }
}

fn unix(path: &Path) -> Result<ListenAddress, &'static str> {
    if !path.is_absolute() || path.file_name().is_none() {
        return Err("give the absolute path of a socket, such as unix:/run/gotrace/gotrace.sock");
    }
    if path.as_os_str().len() > MAX_PATH {
        return Err("the path of a socket has at most 107 bytes");
    }
    Ok(ListenAddress::Unix(path.to_owned()))
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for text in ["none", "127.0.0.1:9090", "[::1]:1", "unix:/run/a b/c.sock"] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for text in [
            "unix:",
            "unix:a.sock",
            "unix:/",
            "unix:/..",
            "/run/x",
            &long,
        ] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_socket_on_all_addresses_is_reached_at_loopback() {
        let reached = |text: &str| {
            text.parse::<ListenAddress>()
                .unwrap()
                .reachable()
                .to_string()
        };
        assert_eq!(reached("0.0.0.0:10127"), "127.0.0.1:10127");
        assert_eq!(reached("[::]:10127"), "[::1]:10127");
        assert_eq!(reached("192.0.2.1:1"), "192.0.2.1:1");
        assert_eq!(reached("unix:/x"), "unix:/x");
    }
}
