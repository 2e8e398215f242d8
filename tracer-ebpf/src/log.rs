//! Log messages for developers of the programs. They exist only in an object built with the feature `log` (`cargo xtask kernel-log`). In
//! the committed object, each call is empty.

#[cfg(feature = "log")]
macro_rules! info {
    ($ctx:expr, $($words:tt)+) => {
        ::aya_log_ebpf::info!($ctx, $($words)+)
    };
}

#[cfg(not(feature = "log"))]
macro_rules! info {
    ($ctx:expr, $($words:tt)+) => {
        let _ = $ctx;
    };
}

pub(crate) use info;
