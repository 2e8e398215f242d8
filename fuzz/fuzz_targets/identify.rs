//! Any bytes have an identity, if only an empty one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_binary::artifact::identify;

fuzz_target!(|bytes: &[u8]| {
    let identity = identify(bytes);
    // What is told twice is told alike.
    assert_eq!(identity, identify(bytes));
});
