//! What a Go build produced, read from bytes.
#![forbid(unsafe_code)]
