//! What the programs do, as text for who works on them. Only in an object that was built with the feature `log` (`cargo xtask
//! kernel-log`); in the committed one every call of this is nothing.

#[cfg(feature = "log")]
macro_rules! say {
    ($ctx:expr, $($words:tt)+) => {
        ::aya_log_ebpf::info!($ctx, $($words)+)
    };
}

#[cfg(not(feature = "log"))]
macro_rules! say {
    ($ctx:expr, $($words:tt)+) => {
        let _ = $ctx;
    };
}

pub(crate) use say;
