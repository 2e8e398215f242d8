//! A set of small numbers: which offsets of a table were met already.
//!
//! One bit for each number up to the largest that came, so no input can make it slow, as it could a hash table. Its limit is known
//! beforehand. Most sets end far below it, and take no memory for the rest.

#[derive(Debug)]
pub(crate) struct Bits {
    len: usize,
    words: Vec<u64>,
}

impl Bits {
    /// For numbers below `len`.
    pub(crate) fn new(len: usize) -> Self {
        Self {
            len,
            words: Vec::new(),
        }
    }

    /// Whether `number` is new. What is out of bounds never is.
    pub(crate) fn insert(&mut self, number: usize) -> bool {
        let at = number / 64;
        if number < self.len && at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let Some(word) = self.words.get_mut(at).filter(|_| number < self.len) else {
            return false;
        };
        let bit = 1 << (number % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        let word = self.words.get(number / 64).copied().unwrap_or(0);
        word & 1 << (number % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once() {
        let mut bits = Bits::new(65);
        assert!(bits.insert(0) && bits.insert(64));
        assert!(!bits.insert(0) && !bits.insert(64));
        assert!(!bits.insert(65) && !bits.insert(128) && !bits.insert(usize::MAX));
        assert_eq!(
            [0, 1, 64, 128].map(|it| bits.contains(it)),
            [true, false, true, false]
        );
    }

    #[test]
    fn a_set_takes_memory_up_to_its_largest_number() {
        let mut bits = Bits::new(1 << 40);
        assert!(bits.insert(1000) && !bits.insert(1 << 40));
        assert!(bits.words.capacity() <= 64);
    }
}
