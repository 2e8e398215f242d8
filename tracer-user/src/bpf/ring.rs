//! The reader's end of the ring buffer. It can live in another task or thread than the [`super::Tracer`].
//!
//! Nothing here decodes a record beyond its length.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use aya::maps::{Map, MapData, MapError, RingBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracer_abi::Header;
use zerocopy::FromBytes as _;

/// Records in the order in which room for them was taken.
pub struct Ring(RingBuf<MapData>);

impl Ring {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        Ok(Self(RingBuf::try_from(map)?))
    }

    /// Hands over each record that is there now and gives its room back; returns how many there were.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let mut n = 0;
        while let Some(item) = self.0.next() {
            each(record(&item));
            n += 1;
        }
        n
    }

    /// Hands over the next record, if there is one, and only then gives its room back.
    pub fn next<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.0.next().map(|item| take(record(&item)))
    }

    /// Waits until there is a record; false if there was none in time. A reader that has its own event loop watches the
    /// descriptor instead, edge-triggered or not, and drains after it has cleared its readiness.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let timeout = timeout
            .map(Timespec::try_from)
            .transpose()
            .map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(n) => Ok(n > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The record in a slot that may be larger than it.
fn record(slot: &[u8]) -> &[u8] {
    match Header::read_from_prefix(slot) {
        Ok((header, _)) => slot.get(..header.len as usize).unwrap_or(slot),
        Err(_) => slot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_cut_to_its_record() {
        let mut slot = [0u8; 64];
        slot[4] = 40;
        assert_eq!(record(&slot).len(), 40);
        slot[4] = 65;
        assert_eq!(record(&slot).len(), 64);
        assert_eq!(record(&[1, 2, 3]).len(), 3);
    }
}
