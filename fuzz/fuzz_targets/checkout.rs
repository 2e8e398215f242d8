//! Reads a checkout with any file contents. It requests few files, by clean paths, and removes credentials from URLs.
//!
//! NUL bytes separate the parts of the input: first the directory, then the content of each file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_core::byte_string::ByteString;
use tracer_core::golang::tool;
use tracer_core::origin::Checkout;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|it| *it == 0);
    let dir = ByteString::from(parts.next().unwrap_or_default());
    let mut n_asked = 0;
    let checkout = Checkout::read(&dir, |wanted| {
        n_asked += 1;
        assert!(wanted.path.as_bytes().starts_with(b"/"));
        assert_eq!(tool::resolve(&wanted.path, None), wanted.path);
        // A part of one byte stands for a missing file.
        parts.next().filter(|it| it.len() > 1).map(<[u8]>::to_vec)
    });
    assert!(n_asked < 150);
    if let Some(checkout) = checkout {
        let text = serde_json::to_string(&checkout).expect("plain data");
        assert!(text.len() < 32 * 1024);
        if let Some((_, rest)) = checkout
            .repository
            .as_deref()
            .and_then(|it| it.split_once("://"))
        {
            let host = rest.split('/').next().unwrap_or_default();
            assert!(!host.contains('@') && !rest.contains('?'), "{rest}");
        }
    }
});
