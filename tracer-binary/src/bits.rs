//! A set of small numbers, such as the offsets of a table that were already visited.
//!
//! The set takes one bit for each possible number. Its size is therefore known beforehand, and no input can slow it
//! down. A hash table could be slowed down.

#[derive(Clone, Debug)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// An empty set of numbers below `len`.
    pub(crate) fn new(len: usize) -> Self {
        Self {
            words: vec![0; len.div_ceil(64)],
        }
    }

    /// Inserts `number`. True if the number is new; numbers out of bounds never are.
    pub(crate) fn insert(&mut self, number: usize) -> bool {
        let Some(word) = self.words.get_mut(number / 64) else {
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
        assert!(!bits.insert(128));
        assert_eq!(
            [0, 1, 64, 128].map(|it| bits.contains(it)),
            [true, false, true, false]
        );
    }
}
