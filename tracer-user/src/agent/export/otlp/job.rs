//! A waiting request and its share of the queue, whose size in bytes is limited.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::request::OtlpRequest;

/// The free bytes of the queue.
#[derive(Clone, Debug)]
pub(super) struct QueueSpace {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

/// A request and its bytes, which are freed on drop: after the delivery, a failure, or a full queue.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: OtlpRequest,
    taken: Arc<AtomicUsize>,
}

impl QueueSpace {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            taken: Arc::new(AtomicUsize::new(0)),
            bytes,
        }
    }

    /// Returns `None` if there is not enough space. An empty queue accepts a request that is larger than the whole queue.
    pub(super) fn take(&self, request: OtlpRequest) -> Option<Job> {
        let bytes = request.body.len();
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let job = Job {
            request,
            taken: Arc::clone(&self.taken),
        };
        let fits = before == 0 || before.saturating_add(bytes) <= self.bytes;
        fits.then_some(job)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let bytes = self.request.body.len();
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::export::otlp::request::Signal;

    fn request(bytes: usize) -> OtlpRequest {
        OtlpRequest {
            signal: Signal::Logs,
            body: vec![0; bytes],
        }
    }

    #[test]
    fn dropped_requests_free_their_space() {
        let space = QueueSpace::new(10);
        let first = space.take(request(6)).unwrap();
        assert!(space.take(request(5)).is_none());
        let second = space.take(request(4)).unwrap();
        assert!(space.take(request(1)).is_none());
        drop(first);
        let third = space.take(request(6)).unwrap();
        drop((second, third));
        assert_eq!(space.taken.load(Ordering::Relaxed), 0);
        assert!(space.take(request(11)).is_some());
    }
}
