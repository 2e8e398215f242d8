//! Identifies any file as a Go tool, and finds its structs, its functions, their calls and their probe addresses. Every address lies in the
//! file.
//!
//! The target includes these modules of gotrace by path. All of gotrace would take minutes to build for each target.
#![no_main]

#[path = "../../tracer-user/src/toolchain/build_info.rs"]
mod build_info;
#[path = "../../tracer-user/src/toolchain/call_site.rs"]
mod call_site;
#[path = "../../tracer-user/src/toolchain/elf.rs"]
mod elf;
#[path = "../../tracer-user/src/toolchain/function.rs"]
mod function;
#[path = "../../tracer-user/src/toolchain/prologue.rs"]
mod prologue;
#[path = "../../tracer-user/src/toolchain/structs.rs"]
mod structs;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

use call_site::Text;
use elf::Elf;
use function::{Functions, read_table};
use libfuzzer_sys::fuzz_target;
use structs::Struct;

/// A file in memory, without a name.
fn file() -> &'static File {
    static FILE: OnceLock<File> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = format!("/dev/shm/gotrace-fuzz-{}", std::process::id());
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        fs::remove_file(&path).expect("the file was created above");
        file.expect("memory for a file")
    })
}

/// The struct that the probes of cache keys read.
fn key() -> &'static Struct {
    static KEY: OnceLock<Struct> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = r#"{"name": "*cache.Hash", "package": "cmd/go/internal/cache", "size": 40,
            "fields": [["h", 0], ["name", 16], ["buf", 32]], "string": "name"}"#;
        serde_json::from_str(key).expect("a struct")
    })
}

fuzz_target!(|bytes: &[u8]| {
    let file = file();
    file.set_len(0).expect("a file in memory");
    file.write_all_at(bytes, 0).expect("a file in memory");
    let identity = build_info::identify(file);
    let Some(elf) = Elf::read(file) else {
        assert_eq!(identity, None);
        return;
    };
    let _either = key().is_in(&elf);
    let Some(table) = read_table(&elf) else {
        return;
    };
    assert!(table.len() <= bytes.len());
    let Some(functions) = Functions::parse(&elf, &table) else {
        return;
    };
    let names = [
        "cmd/compile/internal/base.(*Timings).append",
        "cmd/link/internal/benchmark.(*Metrics).Start",
        "main.main",
    ];
    let found = functions.find(&names);
    assert_eq!(found.len(), names.len());
    let text = Text::read(&elf, &functions);
    for function in found.into_iter().flatten() {
        let except = ["main.main".to_owned()];
        let calls = text.as_ref().and_then(|it| it.calls_of(function.address, &except));
        assert!(calls.is_none_or(|it| it.len() <= 256));
        let Some(start) = elf.code_offset(function.address) else {
            continue;
        };
        let code = elf.code(start, prologue::LEN).unwrap_or_default();
        if let Ok(at) = prologue::site(elf.machine, &code) {
            assert!(usize::try_from(at).is_ok_and(|it| it < code.len()));
        }
    }
});
