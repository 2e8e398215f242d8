//! A history on a disk that is full, that turns read-only, and a clock that jumps: what was stored stays, each build once; what was not
//! is counted, and said once with what to do.
#![cfg(test)]

mod clock;
mod disk;
