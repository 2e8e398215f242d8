//! Derives an origin from any environment and cgroup name. The origin is bounded, and its addresses contain no credentials.
//!
//! NUL bytes separate the variables, as in the kernel's environment block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_core::byte_string::ByteString;
use tracer_core::origin::{Ci, Place, TraceContext};

fuzz_target!(|bytes: &[u8]| {
    let env: Vec<(ByteString, ByteString)> = bytes
        .split(|it| *it == 0)
        .filter_map(|it| {
            let equals = it.iter().position(|it| *it == b'=')?;
            Some((it[..equals].into(), it[equals + 1..].into()))
        })
        .collect();
    if let Some(ci) = Ci::of(&env) {
        let text = serde_json::to_string(&ci).expect("plain data");
        assert!(text.len() < 12 * (6 * 1024 + 100), "{}", text.len());
        for address in [&ci.repository, &ci.url].into_iter().flatten() {
            if let Some((_, rest)) = address.split_once("://") {
                let host = rest.split('/').next().unwrap_or_default();
                // gotrace itself writes this query, and no other.
                let rest = rest.replacen("/_build/results?buildId=", "", 1);
                assert!(!host.contains('@') && !rest.contains('?'), "{address}");
            }
        }
    }
    if let Some(context) = TraceContext::of(&env) {
        let text = serde_json::to_string(&context).expect("plain data");
        assert_eq!(
            serde_json::from_str::<TraceContext>(&text).expect("the encoded context decodes"),
            context
        );
        assert!(context.state.is_none_or(|it| it.len() <= 512));
    }
    let place = Place::of_proc(bytes);
    assert!(serde_json::to_string(&place).expect("plain data").len() < 1024);
});
