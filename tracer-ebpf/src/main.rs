//! gotrace's kernel programs: see whether a process is ours, copy what is known of it at that moment, submit, count losses.
//!
//! Nothing here knows Go, a policy or a path. Each program begins with one look-up of the process in `OURS`; a process that is
//! not there costs nothing more. There is one file per hook; `maps` holds all state, `kernel` all reading of kernel structures.
//! Facts about the kernel that this code relies on are in `docs/kernel-facts.md`, with proofs.
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

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses a program that could get here.
    loop {}
}

/// Reading kernel memory needs a GPL-compatible licence.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
