//! Analyses any bytes. The analysis either refuses them or counts every byte exactly once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_binary::{Options, analyze};

fuzz_target!(|bytes: &[u8]| {
    let Ok(analysis) = analyze(
        bytes,
        Options {
            min_symbol: 0,
            windows: true,
            single_threaded: false,
        },
    ) else {
        return;
    };
    let size = bytes.len() as u64;
    assert_eq!(
        analysis.buckets.iter().map(|it| it.bytes).sum::<u64>(),
        size
    );
    assert_eq!(analysis.groups.iter().map(|it| it.bytes).sum::<u64>(), size);
    assert_eq!(
        analysis.contents.iter().map(|it| it.bytes).sum::<u64>(),
        size
    );
    assert_eq!(
        analysis.symbols.list.iter().map(|it| it.bytes).sum::<u64>(),
        analysis.symbols.bytes
    );
});
