//! Redaction is idempotent, bounds the growth of text, and removes every value of a linker's `-X`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_core::byte_string::ByteString;
use tracer_core::redact::{self, Program, REDACTED};

/// No rule matches these letters.
const SECRET: &[u8] = b"QQ7QQ";

fuzz_target!(|bytes: &[u8]| {
    for rule in [redact::text, redact::key_line, redact::cut_end] {
        let once = rule(bytes).into_owned();
        assert_eq!(rule(&once).into_owned(), once);
        assert!(once.len() <= bytes.len() * (REDACTED.len() + 1) + REDACTED.len());
    }
    let args: Vec<ByteString> = bytes.split(|it| *it == 0).map(ByteString::from).collect();
    for program in [Program::Go, Program::GoTool, Program::Other] {
        let once = redact::argv(program, args.clone());
        assert_eq!(redact::argv(program, once.clone()), once);
    }

    if bytes.windows(SECRET.len()).any(|it| it == SECRET) {
        return;
    }
    let planted = [
        &[b"-X=main.t=", bytes, SECRET].concat()[..],
        b"-X",
        &[b"main.t=", SECRET, bytes].concat(),
    ];
    let planted = planted.iter().map(|it| ByteString::from(*it)).collect();
    for arg in redact::argv(Program::GoTool, planted) {
        assert!(
            !arg.as_bytes().windows(SECRET.len()).any(|it| it == SECRET),
            "{arg}"
        );
    }
});
