//! Decodes the answer of the process that reads outputs.
//!
//! An output may take over that process, which can then answer anything. An accepted answer is bounded and can be encoded again. An
//! honest answer about any output is accepted.
//!
//! The modules are gotrace's own, as in `tool.rs`.
#![no_main]

#[path = "../../tracer-user/src/inspect/anatomy.rs"]
mod anatomy;
#[path = "../../tracer-user/src/inspect/answer.rs"]
mod answer;
#[path = "../../tracer-user/src/inspect/artifact.rs"]
mod artifact;
#[path = "../../tracer-user/src/sandbox/status.rs"]
mod sandbox;

use answer::{Answer, Found, LIMIT, VERSION};
use libfuzzer_sys::fuzz_target;
use sandbox::Restrictions;
use sha2::{Digest as _, Sha256};

/// Maximum number of text fields in an answer without sections.
const TEXTS: usize = 10;

fn encoded(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).expect("plain data")
}

fn check_any(bytes: &[u8]) {
    for size in [0, 3, u64::MAX] {
        let Some(answer) = Answer::believable(bytes, size) else {
            continue;
        };
        let again = encoded(&answer);
        // JSON encodes a character in at most six bytes.
        assert!(again.len() <= (anatomy::SECTIONS + TEXTS) * (6 * artifact::TEXT + 200));
        assert_eq!(Answer::believable(&again, size), Some(answer));
    }
}

fn check_honest(bytes: &[u8]) {
    let sha256: String = Sha256::digest(bytes)
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    let size = bytes.len() as u64;
    let identity = Found::Identity(Box::new(artifact::of(bytes, sha256.clone())));
    for found in [identity, anatomy::of(bytes, &sha256)] {
        assert_ne!(found, Found::Changed);
        let answer = Answer {
            version: VERSION,
            restrictions: Some(Restrictions { landlock: 7 }),
            found,
        };
        let encoded = encoded(&answer);
        assert!(encoded.len() <= LIMIT);
        assert_eq!(Answer::believable(&encoded, size), Some(answer));
    }
}

fuzz_target!(|bytes: &[u8]| {
    check_any(bytes);
    check_honest(bytes);
});
