//! A cache with a fixed size: a new entry replaces the least recently used one.

use std::collections::HashMap;
use std::hash::Hash;

/// Maximum number of entries.
pub(super) const MAX_REMEMBERED: usize = 256;

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// A counter of uses.
    clock: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            clock: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let (seen, value) = self.entries.get_mut(key)?;
        *seen = self.clock;
        Some(value.clone())
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        self.clock += 1;
        if self.entries.len() >= MAX_REMEMBERED && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, (seen, _))| *seen);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(key, (self.clock, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_entry_is_evicted() {
        let mut recent = Recent::default();
        for n in 0..MAX_REMEMBERED {
            recent.put(n, n);
        }
        assert_eq!(recent.get(&0), Some(0));
        recent.put(MAX_REMEMBERED, 7);
        assert_eq!((recent.get(&0), recent.get(&1)), (Some(0), None));
        assert_eq!(recent.get(&MAX_REMEMBERED), Some(7));
        assert_eq!(recent.entries.len(), MAX_REMEMBERED);
        // A new value of a known key evicts nothing.
        recent.put(2, 8);
        assert_eq!((recent.get(&2), recent.get(&3)), (Some(8), Some(3)));
    }
}
