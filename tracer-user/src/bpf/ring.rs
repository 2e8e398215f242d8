//! The reading end of the ring buffer. It can be moved to another task or thread than the [`super::Tracer`].
//!
//! Nothing here decodes a record beyond its length.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use aya::maps::{Map, MapData, MapError, RingBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracer_abi::Header;
use zerocopy::FromBytes as _;

/// Records in the order of their reservation.
pub struct Ring(RingBuf<MapData>);

impl Ring {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        Ok(Self(RingBuf::try_from(map)?))
    }

    /// Passes each available record to `each`, then frees its space. Returns the number of records.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let mut n = 0;
        while let Some(item) = self.0.next() {
            each(record(&item));
            n += 1;
        }
        n
    }

    /// Passes the next record to `take`, if one is available, then frees its space.
    pub fn next<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.0.next().map(|item| take(record(&item)))
    }

    /// Waits until a record is available. False on timeout. A reader with its own event loop polls the descriptor instead, level- or
    /// edge-triggered, and drains the ring after it has cleared the readiness.
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

/// The record in a slot; the slot may be larger.
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
