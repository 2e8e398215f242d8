//! Compares the keys of any two actions, and reads any stored keys. Equal keys have no changes, and the order of the two keys does not
//! matter. A NUL byte separates lines, and two of them the keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_core::explain;
use tracer_core::history::{pack_keys, unpack_keys};
use tracer_core::model::{ActionKey, KeyKind};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(keys) = unpack_keys(bytes) {
        let packed = pack_keys(&keys).expect("keys can be packed");
        assert_eq!(unpack_keys(&packed).expect("packed keys can be read"), keys);
    }
    let (before, after) = match bytes.windows(2).position(|it| it == [0, 0]) {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &b""[..]),
    };
    for kind in KeyKind::ALL {
        let (before, after) = (key(kind, before), key(kind, after));
        assert_eq!(explain::changes(&before, &before), []);
        let there = explain::changes(&before, &after);
        let back = explain::changes(&after, &before);
        assert_eq!(there.len(), back.len());
        for change in there {
            assert!(change.before != change.after, "{change:?}");
            let returned = back.iter().find(|it| it.input == change.input);
            let returned = returned.expect("the same input changes back");
            assert_eq!(
                (&returned.before, &returned.after),
                (&change.after, &change.before)
            );
        }
    }
});

/// A key with these lines. A line that begins with `!` is cut.
fn key(kind: KeyKind, bytes: &[u8]) -> ActionKey {
    let lines = bytes.split(|it| *it == 0);
    let cut = (0..)
        .zip(lines.clone())
        .filter(|(_, it)| it.starts_with(b"!"));
    ActionKey {
        kind,
        package: "example.com/p".into(),
        action: 0,
        id: None,
        cut: cut.map(|(n, _)| n).collect(),
        lines: lines.map(Into::into).collect(),
        has_gaps: false,
    }
}
