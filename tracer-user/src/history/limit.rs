//! Limits of retention. Zero is an error: it would delete everything, and users often mean "no limit" by it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

const UNLIMITED: &str = "unlimited";
const ZERO: &str = "0 would delete everything: give a number from 1, or 'unlimited' for no limit";
const NO_NUMBER: &str = "give a number from 1, or 'unlimited' for no limit";

/// A number from 1, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(pub Option<NonZeroU32>);

impl Bound {
    /// The limit; `None` means no limit.
    pub fn number(self) -> Option<u32> {
        self.0.map(NonZeroU32::get)
    }

    fn of(number: Option<u64>) -> Result<Self, &'static str> {
        match number {
            Some(0) => Err(ZERO),
            Some(number) => {
                let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
                number.map(|it| Self(Some(it))).ok_or(NO_NUMBER)
            }
            None => Err(NO_NUMBER),
        }
    }
}

impl FromStr for Bound {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == UNLIMITED {
            return Ok(Self(None));
        }
        Self::of(text.parse().ok())
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BoundVisitor)
    }
}

/// Reads a number or the word `unlimited` from a file.
struct BoundVisitor;

impl Visitor<'_> for BoundVisitor {
    type Value = Bound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1, or 'unlimited'")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Bound, E> {
        Bound::of(u64::try_from(number).ok()).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Bound, E> {
        Bound::of(Some(number)).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bound, E> {
        // A quoted number is an error, as everywhere in the file.
        if text == UNLIMITED {
            Ok(Bound(None))
        } else {
            Err(E::invalid_type(Unexpected::Str(text), &self))
        }
    }
}

/// Reads a key whose absence means no limit.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Bound::deserialize(deserializer).map(Bound::number)
}

/// Reads a key that has a default limit. No limit becomes the largest number.
pub(crate) fn largest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Bound::deserialize(deserializer).map(|it| Some(it.number().unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_an_error_and_unlimited_is_no_limit() {
        assert_eq!("0".parse::<Bound>(), Err(ZERO));
        assert_eq!("00".parse::<Bound>(), Err(ZERO));
        for text in ["-1", "", "none", "4294967296", "1.5"] {
            assert_eq!(text.parse::<Bound>(), Err(NO_NUMBER), "{text}");
        }
        assert_eq!("unlimited".parse(), Ok(Bound(None)));
        assert_eq!("7".parse(), Ok(Bound(NonZeroU32::new(7))));
    }
}
