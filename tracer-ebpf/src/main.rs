//! gotrace's kernel programs: check whether a process is traced, copy its state at that moment, submit the record, count losses.
//!
//! The programs contain no knowledge of Go, no policy and no path. Each program first looks up the process in `OURS`; for other processes
//! this is the whole cost. There is one file per hook; `maps` holds all state, and `kernel` reads kernel structures. Facts about the kernel
//! that this code relies on are in `docs/kernel-facts.md`, with proofs.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(internal_features, reason = "the atomic add of BPF has no stable name")]

mod call;
mod cookie;
mod dying;
mod exec;
mod exit;
mod fork;
mod kernel;
mod lineage;
mod log;
mod maps;
mod path;
mod record;
mod redundant;
mod rename;
mod scratch;
mod span;
mod verifier;
mod waits;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Unreachable: the verifier rejects a program that could get here.
    loop {}
}

/// Reading kernel memory requires a GPL-compatible licence.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
