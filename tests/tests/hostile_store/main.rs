//! A history on a full disk, on a disk that becomes read-only, and with a jumping clock. Stored builds stay, each once. Other
//! builds are counted, and one message names the remedy.
#![cfg(test)]

mod clock;
mod disk;
