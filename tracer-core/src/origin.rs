//! Where a build came from: continuous integration and the trace that it belongs to by the build's own environment ([`Ci`],
//! [`TraceContext`]), container and pod by its cgroup ([`Place`]), the commit by Git's files ([`Checkout`]).
//!
//! In go the allow-listed variables of a process, the text of `/proc/PID/cgroup` and the files of a checkout, all written by whoever
//! ran the build: they are claims. Nothing is looked up, and no claim is checked against another; `docs/origin.md` has the names.

pub mod checkout;
mod ci;
mod place;
mod trace_context;
mod variable;
mod vendor;

pub use checkout::Checkout;
pub use ci::Ci;
pub use place::{Place, Runtime};
pub use trace_context::{Id, NotAnId, SpanId, TraceContext, TraceId};
pub use variable::is_variable;

#[cfg(test)]
mod tests;
