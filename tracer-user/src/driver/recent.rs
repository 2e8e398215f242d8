//! A cache with a fixed size: a new entry replaces the least recently used ones.

use std::collections::HashMap;
use std::hash::Hash;

/// Maximum number of entries.
pub(super) const MAX_REMEMBERED: usize = 256;
/// Maximum number of bytes of all entries, as their callers estimate them.
const MAX_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    /// The last use, the size in bytes, and the value.
    entries: HashMap<K, (u64, usize, V)>,
    n_bytes: usize,
    /// A counter of uses.
    clock: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            n_bytes: 0,
            clock: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let (seen, _, value) = self.entries.get_mut(key)?;
        *seen = self.clock;
        Some(value.clone())
    }

    /// Adds a value of about `size` bytes. A value that is too large for the cache is not kept.
    pub(super) fn put(&mut self, key: K, size: usize, value: V) {
        self.clock += 1;
        self.remove(&key);
        if size > MAX_BYTES {
            return;
        }
        while self.entries.len() >= MAX_REMEMBERED || self.n_bytes + size > MAX_BYTES {
            let oldest = self.entries.iter().min_by_key(|(_, (seen, _, _))| *seen);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.remove(&oldest);
        }
        self.n_bytes += size;
        self.entries.insert(key, (self.clock, size, value));
    }

    fn remove(&mut self, key: &K) {
        if let Some((_, size, _)) = self.entries.remove(key) {
            self.n_bytes -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_entry_is_evicted() {
        let mut recent = Recent::default();
        for n in 0..MAX_REMEMBERED {
            recent.put(n, 1, n);
        }
        assert_eq!(recent.get(&0), Some(0));
        recent.put(MAX_REMEMBERED, 1, 7);
        assert_eq!((recent.get(&0), recent.get(&1)), (Some(0), None));
        assert_eq!(recent.get(&MAX_REMEMBERED), Some(7));
        assert_eq!(recent.entries.len(), MAX_REMEMBERED);
        // A new value of a known key evicts nothing.
        recent.put(2, 1, 8);
        assert_eq!((recent.get(&2), recent.get(&3)), (Some(8), Some(3)));
    }

    #[test]
    fn large_entries_evict_as_many_as_they_need() {
        let mut recent = Recent::default();
        for n in 0..4 {
            recent.put(n, MAX_BYTES / 4, n);
        }
        recent.put(4, MAX_BYTES / 2, 4);
        let left = [0, 1, 2, 3, 4].map(|it| recent.get(&it).is_some());
        assert_eq!(left, [false, false, true, true, true]);
        recent.put(4, MAX_BYTES + 1, 5);
        assert_eq!((recent.get(&4), recent.n_bytes), (None, MAX_BYTES / 2));
    }
}
