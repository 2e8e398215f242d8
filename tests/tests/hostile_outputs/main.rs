//! What a builder may put where an output should be, and swap while it is opened: nothing of a secret is ever read, and nobody waits.
#![cfg(test)]

mod odd;
mod race;
mod stuck;
