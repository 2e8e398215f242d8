//! Identifies any bytes. Every input has an identity, which can be empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_binary::artifact::identify;

fuzz_target!(|bytes: &[u8]| {
    let identity = identify(bytes);
    // Identification is deterministic.
    assert_eq!(identity, identify(bytes));
});
