//! The origin of a build: CI pipeline and parent trace from the build's environment ([`Ci`], [`TraceContext`]), container and pod from its
//! cgroup ([`Place`]), and the commit from Git's files ([`Checkout`]).
//!
//! The inputs are the allow-listed variables of a process, the text of `/proc/PID/cgroup` and the files of a checkout. The builder can
//! write all of these, so they are claims. This module queries nothing else and does not check one claim against another; `docs/origin.md`
//! lists the names.

pub mod checkout;
mod ci;
mod place;
mod trace_context;
mod variable;
mod vendor;

pub use checkout::Checkout;
pub use ci::Ci;
pub use place::{Place, Runtime};
pub use trace_context::{Id, InvalidHexId, SpanId, TraceContext, TraceId};
pub use variable::is_variable;

#[cfg(test)]
mod tests;
